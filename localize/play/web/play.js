// The course of a session: start, trials with feedback, end.
(() => {
  const { strength } = chart;
  const { find, notify, screen, store } = shell;
  const { key, images } = album;
  const READY = 150; // ms of plain grey before an image

  let session = null; // { settings, seed, plan, answers }
  let trial = null; // the current trial: plan entry, ratio, panes, clean and changed values, cross
  const seen = new Set(store.read(key)?.seen ?? []);

  function begin() {
    const chosen = start.settings();
    const seed = chosen.seed ?? 0;
    const sides = chosen.side === "both" ? ["brighter", "darker"] : [chosen.side];
    session = { settings: chosen, seed, answers: [], plan: staircase.plan(album.rows, seen, chosen.length, sides, seed) };
    startTrial();
  }

  // ---- a trial

  function estimates() {
    const guess = staircase.GUESS[session.settings.mode];
    return session.answers.map((answer, i) => {
      if (answer.unchanged) return null;
      return staircase.estimate(results.trialsOf(session.answers.slice(0, i + 1), answer.side), guess);
    });
  }

  async function startTrial() {
    const number = session.answers.length;
    const planned = session.plan[number];
    const { settings } = session;
    const compare = settings.mode === "compare";
    const earlier = results.trialsOf(session.answers, planned.side);
    const wanted = staircase.level(earlier, staircase.GUESS[settings.mode], session.seed, number);
    const ratio = planned.unchanged ? 1 : staircase.ratio(wanted, planned.side);
    trial = { ...planned, ratio, number, level: Math.abs(Math.log(ratio)), open: false, cross: null, original: false };
    find("trial").dataset.mode = settings.mode;
    find("trial").dataset.state = "coming";
    const labels = compare ? ["First image of pair", "Second image of pair"] : ["Image"];
    trial.panes = labels.map((label) => new view.Pane(`${label} ${number + 1} of ${session.plan.length}`, onPoint));
    find("stage").replaceChildren(...trial.panes.map((pane) => pane.root));
    screen("trial");
    find("count").textContent = `Image ${number + 1} of ${session.plan.length}`;
    find("progress").max = session.plan.length;
    find("progress").value = number;
    const words = { brighter: "brighter", darker: "darker", both: "changed" }[settings.side];
    say(
      compare ? `Which image has a ${words} region, and where?` : `Where is the ${words} region?`,
      matchMedia("(pointer: coarse)").matches ? "Tap its centre; tap again to correct, then answer." : "Click its centre.",
    );
    buttons("I can’t see it", answerNothing, "Answer here", answerCross, true);
    find("trace").replaceChildren();
    trial.clean = await album.clean(planned.row);
    const { values, before, after } = await album.changed(planned.row, ratio);
    Object.assign(trial, { changed: values, before, after });
    await new Promise((done) => setTimeout(done, READY));
    if (trial.number !== number || document.body.dataset.screen !== "trial") return; // finished meanwhile
    showPictures();
    for (const pane of trial.panes) pane.root.addEventListener("scroll", () => scrolled(pane), { passive: true });
    trial.panes[0].root.focus({ preventScroll: true });
    scrolled(trial.panes[0]);
    trial.open = true;
    find("trial").dataset.state = "open";
    trial.began = performance.now();
    trial.started = new Date().toISOString();
    const following = session.plan[number + 1];
    if (following) setTimeout(() => album.clean(following.row), 50);
  }

  const changedPane = () => (trial.panes.length === 1 || trial.place === "left" ? 0 : 1);

  function showPictures() {
    trial.panes.forEach((pane, i) => {
      const changed = i === changedPane() && !trial.original;
      pane.show(changed ? trial.changed : trial.clean, images[trial.row], session.settings.pixel);
    });
  }

  function scrolled(pane) {
    if (!trial.panes.includes(pane)) return; // a late event of the previous trial
    const { root } = pane;
    for (const other of trial.panes) {
      if (other === pane) continue;
      if (other.root.scrollLeft !== root.scrollLeft) other.root.scrollLeft = root.scrollLeft;
      if (other.root.scrollTop !== root.scrollTop) other.root.scrollTop = root.scrollTop;
    }
    const finder = find("finder");
    finder.classList.toggle("on", pane.overflows);
    finder.style.aspectRatio = `${root.scrollWidth} / ${root.scrollHeight}`;
    const share = (part, whole) => `${(100 * part) / whole}%`;
    Object.assign(finder.firstElementChild.style, {
      left: share(root.scrollLeft, root.scrollWidth),
      top: share(root.scrollTop, root.scrollHeight),
      width: share(root.clientWidth, root.scrollWidth),
      height: share(root.clientHeight, root.scrollHeight),
    });
  }

  function say(headline, detail) {
    find("headline").textContent = headline;
    find("detail").textContent = detail;
  }

  function buttons(second, onSecond, first, onFirst, off) {
    for (const [id, words, action] of [["second", second, onSecond], ["first", first, onFirst]]) {
      find(id).textContent = words;
      find(id).onclick = action;
      find(id).removeAttribute("aria-pressed");
      find(id).disabled = false;
    }
    find("first").disabled = off;
  }

  // A mouse click answers at once; a tap first sets the cross, since the finger hides the place.
  function onPoint(pane, place, touch) {
    if (!trial.open) return;
    if (touch) setCross(pane, place);
    else answer(pane, place);
  }

  function setCross(pane, place) {
    for (const each of trial.panes) each.cross(each === pane ? place : null);
    trial.cross = { pane, place };
    find("first").disabled = false;
  }

  function answerCross() {
    if (trial.open && trial.cross) answer(trial.cross.pane, trial.cross.place);
  }

  function answerNothing() {
    if (trial.open) answer(null, null);
  }

  function answer(pane, place) {
    const image = images[trial.row];
    const seconds = Number(((performance.now() - trial.began) / 1000).toFixed(2));
    const distance = place ? Number(Math.hypot(place.x - image.x, place.y - image.y).toFixed(2)) : null;
    const hit = distance !== null && distance <= Math.max(5, image.r / 2);
    const compare = trial.panes.length === 2;
    const choice = compare && pane ? ["left", "right"][trial.panes.indexOf(pane)] : null;
    const choiceRight = compare ? choice === trial.place : null;
    trial.open = false;
    const zoom = Number((session.settings.pixel * (visualViewport?.scale ?? 1)).toFixed(3));
    const { row, side, ratio, level, unchanged, before, after, started } = trial;
    session.answers.push({
      row, side, ratio, level, unchanged, before, after, answer: place, distance, hit, seconds,
      choice, choiceRight, good: compare ? choiceRight : hit, zoom, started,
    });
    seen.add(row);
    store.write(key, { session, seen: [...seen] });
    showFeedback(session.answers.at(-1));
  }

  function showFeedback(given) {
    const image = images[given.row];
    const compare = trial.panes.length === 2;
    find("trial").dataset.state = "answered";
    find("progress").value = session.answers.length;
    trial.panes.forEach((pane, i) => {
      const mine = compare ? given.choice === ["left", "right"][i] : true;
      const truth = !given.unchanged && i === changedPane() ? image : null;
      pane.truth(truth, mine ? given.answer : null, given.hit);
      if (!given.unchanged) pane.reveal(image, (image.r + 12) * pane.scale, true);
    });
    const off = given.distance === null ? "" : `${given.distance.toFixed(1)} px`;
    const what = `${strength(given.level, given.side)} ${given.side}, radius ${image.r.toFixed(0)} px`;
    const values = `mean code value ${given.before.toFixed(1)} → ${given.after.toFixed(1)}`;
    if (given.unchanged) {
      say(given.answer ? "Nothing was changed here" : "Correct: nothing was changed", "Unchanged images measure how often a guess hits by chance. They do not affect your threshold.");
    } else {
      const place = given.hit ? `Found, ${off} off` : given.answer ? `Missed by ${off}` : "The region was here";
      const which = !compare || !given.answer ? "" : given.choiceRight ? "Correct image. " : "Wrong image. ";
      say(which + place, `${what}; ${values}.`);
    }
    const last = session.answers.length === session.plan.length;
    buttons("See original", original, last ? "See the result" : "Next", last ? finish : startTrial, false);
    find("second").disabled = given.unchanged;
    find("second").setAttribute("aria-pressed", "false");
    find("trace").replaceChildren(chart.trace(session.answers, estimates(), session.plan.length, 268, 120, true));
    find("first").focus({ preventScroll: true });
  }

  function original() {
    trial.original = !trial.original;
    find("second").setAttribute("aria-pressed", String(trial.original));
    find("second").textContent = trial.original ? "See change" : "See original";
    const pane = trial.panes[changedPane()];
    view.paint(pane.canvas, trial.original ? trial.clean : trial.changed, pane.canvas.width, pane.canvas.height);
  }

  // ---- keyboard

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  function onKey(event) {
    if (document.body.dataset.screen !== "trial" || event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase();
    if (key === "enter" && event.repeat) event.preventDefault(); // a held key would skip the feedback
    if (key === "o" && find("trial").dataset.state === "answered" && !find("second").disabled) original();
    if (!trial?.open) return;
    const pane = trial.panes.find((each) => each.root === document.activeElement);
    if (key === "c") {
      answerNothing();
    } else if (pane && ARROWS[event.key]) {
      const step = event.shiftKey ? 1 : 12;
      const from = trial.cross?.pane === pane ? trial.cross.place : (trial.cross?.place ?? pane.middle());
      const [dx, dy] = trial.cross ? ARROWS[event.key] : [0, 0];
      const place = {
        x: Math.min(pane.canvas.width - 1, Math.max(0, from.x + dx * step)),
        y: Math.min(pane.canvas.height - 1, Math.max(0, from.y + dy * step)),
      };
      setCross(pane, place);
      pane.reveal(place);
    } else if (pane && key === "enter" && !event.repeat && trial.cross) {
      answerCross();
    } else {
      return;
    }
    event.preventDefault();
  }

  // ---- end

  function again() {
    find("seed").value = String((session.seed + 1) % 1_000_000_000);
    welcome();
  }

  const welcome = () => start.show(store.read(key)?.session, seen);

  function finish() {
    if (!session.answers.length) {
      welcome();
      return;
    }
    session.plan.length = session.answers.length;
    store.write(key, { session, seen: [...seen] });
    screen("results");
    results.show(find("results"), session, estimates(), again);
  }

  // ---- zoom, wiring

  let width = innerWidth;

  function onResize() {
    const zoomed = (visualViewport?.scale ?? 1) > 1.01;
    if (zoomed) notify("The page is zoomed in, which blurs the images: zoom back to 100 %.");
    else if (find("notice").textContent.startsWith("The page is zoomed")) notify("");
    const name = document.body.dataset.screen;
    if (name === "start") start.sample();
    if (name === "trial" && trial?.changed) for (const pane of trial.panes) pane.settle();
    if (name === "results" && width !== innerWidth) results.show(find("results"), session, estimates(), again);
    width = innerWidth;
  }

  find("go").addEventListener("click", begin);
  find("resume").addEventListener("click", () => {
    session = store.read(key).session;
    if (session.answers.length < session.plan.length) startTrial();
    else finish();
  });
  find("finish").addEventListener("click", finish);
  document.addEventListener("keydown", onKey);
  addEventListener("resize", onResize);
  visualViewport?.addEventListener("resize", onResize);
  welcome();
  // For tests and the console: the state of the page.
  globalThis.acuity = { album, pixels, staircase, results, get session() { return session; }, get trial() { return trial; } };
})();
