// The result screen: the threshold, the methods for comparison, all trials, and the CSV.
const results = (() => {
  const { element } = view;
  const { percent, strength } = chart;
  const { images } = album;
  const COLUMNS = [
    "method", "trial", "file_name", "photo", "x", "y", "r", "discolor_ratio", "x_pred", "y_pred",
    "distance", "hit", "seconds", "choice", "choice_right", "zoom", "started",
  ];
  const FEW = 4; // trials of a side, below which no threshold is shown
  const NEVER = 0.5; // a higher level counts as no threshold; the largest change is 0.69

  const VAGUE = 9; // if high / low of the interval is larger, the interval is shown, not the median

  const trialsOf = (answers, side) =>
    answers.filter((a) => a.side === side && !a.unchanged).map((a) => [a.level, a.good]);

  function median(values) {
    const sorted = [...values].sort((a, b) => a - b);
    const half = sorted.length >> 1;
    return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  }

  // A ratio of code values at a grey level -> Weber contrast of luminance (IEC 61966-2-1).
  function light(ratio, grey) {
    const linear = (code) => (code / 255 <= 0.04045 ? code / 255 / 12.92 : ((code / 255 + 0.055) / 1.055) ** 2.4);
    return grey > 0 ? linear(ratio * grey) / linear(grey) - 1 : 0;
  }

  // A session -> for each side: its trials, the threshold estimate, and whether it is usable.
  function summary(session) {
    const { answers, settings } = session;
    const guess = staircase.GUESS[settings.mode];
    return ["brighter", "darker"]
      .map((side) => ({ side, guess, trials: trialsOf(answers, side) }))
      .filter(({ trials }) => trials.length)
      .map((part) => ({ ...part, estimate: staircase.estimate(part.trials, guess) }))
      .map((part) => ({ ...part, enough: part.trials.length >= FEW, never: part.estimate.middle > NEVER }));
  }

  // Text -> a CSV cell.
  const cell = (value) => (/[",\r\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value));

  function csv(session) {
    const lines = session.answers.map((a, i) => {
      const image = images[a.row];
      const place = a.answer ?? { x: "", y: "" };
      return [
        methodOf(session), i + 1, image.file_name, image.photo, image.x, image.y, image.r,
        a.ratio, place.x, place.y, a.distance ?? "", a.hit ? 1 : 0, a.seconds, a.choice ?? "",
        a.choiceRight === null ? "" : Number(a.choiceRight), a.zoom, a.started,
      ].map(cell).join(",");
    });
    return [COLUMNS.join(","), ...lines].join("\n") + "\n";
  }

  function methodOf({ settings }) {
    return settings.name || (settings.mode === "compare" ? "person, two pictures" : "person");
  }

  function download(session) {
    const url = URL.createObjectURL(new Blob([csv(session)], { type: "text/csv;charset=utf-8" }));
    element("a", { href: url, download: "play.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }

  function headline(parts) {
    const known = parts.filter((part) => part.enough && !part.never);
    if (!known.length) return parts.some((part) => part.enough) ? "No threshold" : "Too few images for a threshold";
    const values = known.map(({ side, estimate: { low, middle, high } }) =>
      high / low > VAGUE
        ? `between ${strength(low, side)} and ${strength(high, side)} ${side}`
        : `${high / low > VAGUE / 3 ? "about " : ""}${strength(middle, side)} ${side}`,
    );
    return `Your threshold: ${values.join(", ")}`;
  }

  function thresholdText(part, grey) {
    const { estimate, side, enough, never, guess } = part;
    if (!enough) return `${part.trials.length} ${side} images are too few to estimate a threshold.`;
    if (never) return `Hardly any ${side} change was found, not even the largest, so there is no threshold.`;
    const ratio = (level) => staircase.ratio(level, side).toFixed(3);
    const ends = [ratio(estimate.low), ratio(estimate.high)].sort();
    const what = guess < 0.5 ? "you find half of the changes" : "you choose the changed image in three of four trials";
    const more = Math.abs(light(staircase.ratio(estimate.middle, side), grey));
    return (
      `At a ratio of ${ratio(estimate.middle)} ${what} (95 % interval ${ends[0]} to ${ends[1]}). ` +
      `That is ${percent(more, 1)} ${side === "darker" ? "less" : "more"} luminance.`
    );
  }

  // The chart that ranks the player among the methods.
  function rankingChart(parts, part, session, scores, width) {
    const you = { name: session.settings.name || "You", you: true };
    if (scores.kind === "comparison") {
      const at = (side) => parts.find((p) => p.side === side) ?? part;
      const levels = Object.entries(scores.ratios).flatMap(([side, list]) => list.map((q) => [side, Math.abs(Math.log(q))]));
      const rates = levels.map(([side, l]) => staircase.expected(l, at(side).estimate.probabilities, staircase.GUESS.find));
      const mean = (i) => rates.reduce((sum, rate) => sum + rate[i], 0) / rates.length;
      const rows = scores.methods.map(({ name, colour, overall: [value, low, high] }) => ({ name, colour, value, low, high }));
      rows.push({ ...you, value: mean(1), low: mean(0), high: mean(2) });
      for (const row of rows) row.note = percent(row.value);
      const ticks = [0, 0.25, 0.5, 0.75, 1].map((rate) => [rate, percent(rate)]);
      const axis = { low: 0, high: 1, ticks, label: "hit rate at the ratios of the dataset" };
      return chart.ranking(rows.sort((a, b) => b.value - a.value), axis, width);
    }
    const { side, estimate } = part;
    const rows = scores.methods.map((method) => {
      const values = (method[side].threshold ?? []).map((ratio) => Math.abs(Math.log(ratio))).sort((a, b) => a - b);
      if (!values.length) return { name: method.name, colour: method.colour, value: null, note: "no threshold" };
      return { name: method.name, colour: method.colour, low: values[0], value: values[1], high: values[2], note: strength(values[1], side) };
    });
    rows.push({ ...you, value: estimate.middle, low: estimate.low, high: estimate.high, note: strength(estimate.middle, side) });
    const known = rows.filter((row) => row.value !== null);
    const low = Math.max(0.004, Math.min(0.02, ...known.map((row) => row.low)) / 1.2);
    const high = Math.min(2, Math.max(0.25, ...known.map((row) => row.high)) * 1.2);
    const axis = { low, high, log: true, side, label: `threshold, ${side} (log scale; left is better)` };
    return chart.ranking(rows.sort((a, b) => (a.value ?? 9) - (b.value ?? 9)), axis, width);
  }

  function figure(drawn, caption) {
    return element("figure", {}, drawn, element("figcaption", {}, caption));
  }

  function section(title, ...children) {
    return element("section", {}, element("h2", {}, title), ...children);
  }

  function facts(session) {
    const { answers, settings, seed } = session;
    const changed = answers.filter((a) => !a.unchanged);
    const blank = answers.filter((a) => a.unchanged);
    const found = changed.filter((a) => a.hit);
    const lucky = blank.filter((a) => a.hit).length;
    const pairs = [
      ["Changed images", `${found.length} of ${changed.length} regions found`],
      ["Unchanged images", blank.length ? `${lucky} of ${blank.length} hit by chance` : "none"],
      ["Median distance of hits", found.length ? `${median(found.map((a) => a.distance)).toFixed(1)} px` : "–"],
      ["Median time per image", `${median(answers.map((a) => a.seconds)).toFixed(1)} s`],
      ["Screen pixels per image pixel", [...new Set(answers.map((a) => a.zoom))].join(", ")],
      ["Seed", String(seed)],
    ];
    if (settings.mode === "compare") pairs.splice(1, 0, ["Correct image", `${changed.filter((a) => a.choiceRight).length} of ${changed.length}`]);
    return element("dl", { class: "facts" }, ...pairs.map(([k, v]) => element("div", {}, element("dt", {}, k), element("dd", {}, v))));
  }

  function table(session) {
    const head = ["", "image", "ratio", "radius", "distance", "time", "result"];
    const rows = session.answers.map((a, i) => {
      const image = images[a.row];
      const off = a.distance === null ? "can’t see it" : `${a.distance.toFixed(1)} px`;
      const words = a.unchanged ? "unchanged" : a.hit ? "found" : "missed";
      const cells = [i + 1, image.photo || image.file_name, a.ratio.toFixed(4), `${image.r} px`, off, `${a.seconds.toFixed(1)} s`, words];
      return element("tr", { class: words }, ...cells.map((value) => element("td", {}, String(value))));
    });
    const header = element("tr", {}, ...head.map((words) => element("th", { scope: "col" }, words)));
    const body = element("table", {}, element("thead", {}, header), element("tbody", {}, ...rows));
    return element("details", {}, element("summary", {}, "All trials"), element("div", { class: "scroll" }, body));
  }

  // Crops of trials, as they were shown.
  function gallery(title, chosen, pixel) {
    if (!chosen.length) return "";
    const row = element("div", { class: "crops" });
    for (const answer of chosen) {
      const image = images[answer.row];
      const canvas = element("canvas", { role: "img", "aria-label": `${image.photo}, ratio ${answer.ratio}` });
      row.append(figure(element("div", { class: "grey" }, canvas), `ratio ${answer.ratio.toFixed(3)}, radius ${image.r.toFixed(0)} px`));
      album.changed(answer.row, answer.ratio).then(({ values }) => {
        const part = view.crop(values, image, image, 180, 180);
        view.paint(canvas, part.values, part.width, part.height);
        view.fit(canvas, pixel);
      });
    }
    return element("div", { class: "gallery" }, element("h3", {}, title), row);
  }

  // Fills the screen; the button "Play again" calls again().
  function show(root, session, estimates, again) {
    const { scores } = album.data;
    const compare = session.settings.mode === "compare";
    const parts = summary(session);
    const good = parts.filter((part) => part.enough && !part.never);
    const greys = session.answers.filter((a) => a.before > 0).map((a) => a.before);
    const grey = greys.length ? greys.reduce((sum, value) => sum + value, 0) / greys.length : 128;
    const save = element("button", { type: "button", class: "primary large", id: "save" }, "Download CSV");
    const more = element("button", { type: "button", class: "large", id: "again" }, "Play again");
    save.addEventListener("click", () => download(session));
    more.addEventListener("click", again);
    root.replaceChildren(
      element(
        "div",
        { class: "verdict" },
        element("h1", { tabindex: "-1" }, headline(parts)),
        ...parts.map((part) => element("p", { class: "lead" }, thresholdText(part, grey))),
        element("p", { class: "go" }, save, more),
        element("p", { class: "small" }, "To score the CSV: ", element("code", {}, "localize score play.csv DATASET"), " or ", element("code", {}, "localize sharpness … --trials play.csv")),
      ),
      facts(session),
    );
    const width = Math.min(1120, root.clientWidth - parseFloat(getComputedStyle(root).paddingLeft) * 2);
    if (scores && good.length) {
      const shown = scores.kind === "comparison" ? good.slice(0, 1) : good;
      const caption =
        scores.kind === "comparison"
          ? "Hit rates with 95 % intervals. Yours is computed from your curve for the ratios of the dataset; those of the methods are measured on the dataset, with hits within 5 px or half the radius."
          : "Thresholds with 95 % intervals: the change with a hit rate halfway between chance and the ceiling.";
      root.append(section("You and the methods", ...shown.map((part) => figure(rankingChart(parts, part, session, scores, width), caption + (compare ? " You saw the original beside the changed image; the methods did not." : "")))));
    }
    const title = compare ? "Choosing the changed image: rate of correct choices" : "Hit rate by the size of the change";
    for (const part of good) {
      // Choosing one of two images is a different task than the methods', so their curves are left out.
      const methods = compare ? [] : (scores?.methods ?? []);
      const caption = `Thick line: you, with a 95 % band (slope and lapse rate are assumed); dots: your trials in groups.${methods.length ? " Thin lines: the methods." : ""}`;
      root.append(section(`${title}, ${part.side}`, figure(chart.curve(part.side, part.trials, part.guess, methods, width), caption)));
    }
    const steps = figure(chart.trace(session.answers, estimates, session.answers.length, width, 240, false), "Change of code values by trial. Filled: found; open: missed; grey, at the bottom: unchanged image. Line: threshold estimate.");
    const changed = session.answers.filter((a) => !a.unchanged);
    const faint = changed.filter((a) => a.hit).sort((a, b) => a.level - b.level).slice(0, 4);
    const strong = changed.filter((a) => !a.hit).sort((a, b) => b.level - a.level).slice(0, 4);
    root.append(section("All trials in order", steps), section("Examples", gallery("The smallest changes that you found", faint, session.settings.pixel), gallery("The largest changes that you missed", strong, session.settings.pixel), table(session)));
    root.querySelector("h1").focus({ preventScroll: true });
  }

  return { csv, light, show, summary, trialsOf };
})();
