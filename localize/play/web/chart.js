// Charts of a session as SVG, for a given width.
const chart = (() => {
  const { element } = view;
  const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)}\u00a0%`;

  // A level |log ratio| as the change of code values in percent.
  function strength(level, side) {
    const change = side === "darker" ? 1 - Math.exp(-level) : Math.exp(level) - 1;
    return `${(100 * change).toFixed(change < 0.0995 ? 1 : 0)}\u00a0%`;
  }

  function frame(width, height, label) {
    return element("svg", { class: "plot", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
  }

  function text(x, y, words, anchor = "start", kind = "") {
    return element("text", { x, y, "text-anchor": anchor, class: kind }, words);
  }

  function logScale(low, high, from, to) {
    return (value) => from + ((Math.log(value) - Math.log(low)) / (Math.log(high) - Math.log(low))) * (to - from);
  }

  // Axis ticks: change in percent -> level.
  const TICKS = [0.5, 1, 2, 5, 10, 20, 50, 100];
  const tickLevel = (tick, side) => (side === "darker" ? -Math.log(1 - Math.min(tick, 99) / 100) : Math.log(1 + tick / 100));

  function ticks(low, high, side) {
    return TICKS.filter((tick) => !(side === "darker" && tick > 50))
      .map((tick) => [tick, tickLevel(tick, side)])
      .filter(([, level]) => level >= low * 0.999 && level <= high * 1.001);
  }

  // The ticks that fit on an axis without overlap, round numbers first.
  function spacedTicks(all, x) {
    const kept = [];
    for (const wanted of [1, 10, 5, 50, 20, 2, 100, 0.5]) {
      const tick = all.find(([value]) => value === wanted);
      if (tick && kept.every(([, level]) => Math.abs(x(level) - x(tick[1])) > 38)) kept.push(tick);
    }
    return kept;
  }

  const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

  // The change in each trial so far, found or missed, and the threshold estimate as a line.
  function trace(answers, estimates, length, width, height, small) {
    const side = answers.length && answers.every((a) => a.side === "darker") ? "darker" : "brighter";
    const shown = answers.filter((answer) => answer.level > 0);
    const all = shown.map((answer) => answer.level).concat(estimates.filter(Boolean).map((e) => e.middle));
    const low = Math.min(0.02, ...all) / 1.25;
    const high = Math.max(0.4, ...all) * 1.15;
    const left = small ? 34 : 46;
    const bottom = height - (small ? 10 : 34);
    const x = (i) => left + 8 + (i / Math.max(1, length - 1)) * (width - left - 18);
    const y = logScale(low, high, bottom, 8);
    const found = shown.filter((answer) => answer.good).length;
    const svg = frame(width, height, `Size of the change by trial: ${found} of ${shown.length} found`);
    for (const [tick, level] of ticks(low, high, side)) {
      svg.append(element("line", { class: "grid", x1: left, x2: width, y1: y(level), y2: y(level) }));
      svg.append(text(left - 6, y(level) + 4, `${tick} %`, "end"));
    }
    const line = estimates.map((e, i) => (e ? [x(i), y(e.middle)] : null)).filter(Boolean);
    if (line.length > 1) svg.append(element("path", { class: "yours thin", d: path(line) }));
    answers.forEach((answer, i) => {
      const at = { cx: x(i), cy: answer.level > 0 ? y(answer.level) : bottom, r: small ? 3 : 4.5 };
      const kind = answer.level > 0 ? (answer.good ? "found" : "missed") : "blank";
      const words = answer.level > 0 ? `ratio ${answer.ratio}: ${answer.good ? "found" : "missed"}` : "unchanged";
      svg.append(element("circle", { class: kind, ...at }, element("title", {}, `${i + 1}, ${words}`)));
    });
    if (!small) svg.append(text((left + width) / 2, height - 4, "trial", "middle"));
    return svg;
  }

  // Hit rate by the size of the change: the player's curve with its 95 % band, and the methods'.
  function curve(side, trials, guess, methods, width) {
    const height = Math.max(260, Math.min(380, width * 0.55));
    const [left, right, top, bottom] = [46, width - 14, 12, height - 46];
    const [low, high] = [0.005, side === "darker" ? Math.LN2 : 0.7];
    const x = logScale(low, high, left, right);
    const y = (rate) => bottom - rate * (bottom - top);
    const { probabilities, middle } = staircase.estimate(trials, guess);
    const svg = frame(width, height, `Hit rate by the size of the change, ${side}; your threshold is ${strength(middle, side)}`);
    for (const rate of [0, 0.25, 0.5, 0.75, 1]) {
      svg.append(element("line", { class: "grid", x1: left, x2: right, y1: y(rate), y2: y(rate) }));
      svg.append(text(left - 6, y(rate) + 4, percent(rate), "end"));
    }
    const marks = spacedTicks(ticks(low, high, side), x);
    for (const [tick, level] of marks) svg.append(text(x(level), bottom + 18, `${tick} %`, "middle"));
    svg.append(text((left + right) / 2, height - 4, `change of code values (${side}, log scale)`, "middle"));
    const levels = Array.from({ length: 80 }, (_, i) => low * (high / low) ** (i / 79));
    const rates = levels.map((level) => staircase.expected(level, probabilities, guess));
    const band = [...rates.map((r, i) => [x(levels[i]), y(r[0])]), ...rates.map((r, i) => [x(levels[i]), y(r[2])]).reverse()];
    svg.append(element("path", { class: "band", d: `${path(band)}Z` }));
    for (const method of methods) {
      const points = method[side].rates.map(([ratio, rate]) => [Math.abs(Math.log(ratio)), rate]).filter(([l]) => l >= low && l <= high);
      const line = element("path", { class: "theirs", d: path(points.sort((a, b) => a[0] - b[0]).map(([l, r]) => [x(l), y(r)])) });
      line.style.stroke = method.colour;
      line.append(element("title", {}, method.name));
      svg.append(line);
    }
    svg.append(element("path", { class: "yours", d: path(rates.map((r, i) => [x(levels[i]), y(r[1])])) }));
    for (const [level, rate, count] of binned(trials)) {
      const title = element("title", {}, `${count} trials at about ${strength(level, side)}: ${percent(rate)} found`);
      svg.append(element("circle", { class: "found", cx: x(Math.min(high, level)), cy: y(rate), r: 2.5 + 1.3 * Math.sqrt(count) }, title));
    }
    return svg;
  }

  // Trials, [level, hit] each -> up to six groups of similar level: mean level, hit rate, count.
  function binned(trials) {
    const sorted = [...trials].sort((a, b) => a[0] - b[0]);
    const groups = Math.max(1, Math.min(6, Math.floor(sorted.length / 3)));
    return Array.from({ length: groups }, (_, i) => {
      const part = sorted.slice(Math.round((i * sorted.length) / groups), Math.round(((i + 1) * sorted.length) / groups));
      const level = Math.exp(part.reduce((sum, [l]) => sum + Math.log(l), 0) / part.length);
      return [level, part.filter(([, hit]) => hit).length / part.length, part.length];
    });
  }

  // Rows of {name, value, low, high, note, colour, you} -> a chart of dots with intervals.
  function ranking(rows, axis, width) {
    const room = Math.min(170, width * 0.34);
    const [left, right, step, top] = [room + 8, width - 74, 34, 8];
    const height = top + rows.length * step + 40;
    const x = axis.log ? logScale(axis.low, axis.high, left, right) : (v) => left + ((v - axis.low) / (axis.high - axis.low)) * (right - left);
    const inside = (value) => x(Math.min(axis.high, Math.max(axis.low, value)));
    const svg = frame(width, height, axis.label);
    const bottom = top + rows.length * step;
    const marks = axis.log ? spacedTicks(ticks(axis.low, axis.high, axis.side), x).map(([tick, level]) => [level, `${tick} %`]) : axis.ticks;
    for (const [value, words] of marks) {
      svg.append(element("line", { class: "grid", x1: x(value), x2: x(value), y1: top, y2: bottom }));
      svg.append(text(x(value), bottom + 16, words, "middle"));
    }
    svg.append(text((left + right) / 2, height - 4, axis.label, "middle"));
    rows.forEach((row, i) => {
      const y = top + (i + 0.5) * step;
      const group = element("g", { class: row.you ? "you" : "them" });
      if (row.you) group.append(element("rect", { class: "lane", x: 0, y: y - step / 2 + 2, width, height: step - 4, rx: 6 }));
      const key = element("circle", { class: "key", cx: 14, cy: y, r: 4 });
      if (!row.you) key.style.fill = row.colour;
      group.append(key, shorten(text(26, y + 4, row.name), row.name, room - 22));
      if (row.value === null) {
        group.append(text(left, y + 4, row.note, "start", "faint"));
      } else {
        const bar = element("line", { class: "interval", x1: inside(row.low), x2: inside(row.high), y1: y, y2: y });
        const dot = element("circle", { class: "spot", cx: inside(row.value), cy: y, r: row.you ? 7 : 5.5 });
        if (!row.you) {
          bar.style.stroke = row.colour;
          dot.style.fill = row.colour;
        }
        group.append(bar, dot, text(width - 8, y + 4, row.note, "end"));
      }
      svg.append(group);
    });
    return svg;
  }

  // Shortens a name that is too wide; the full name becomes its tooltip.
  function shorten(node, name, room) {
    const most = Math.floor(room / 7.2);
    if (name.length <= most) return node;
    node.textContent = `${name.slice(0, Math.max(3, most - 1))}…`;
    node.append(element("title", {}, name));
    return node;
  }

  return { curve, percent, ranking, strength, trace };
})();
