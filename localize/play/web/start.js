// The start screen: instructions, an example and the settings.
const start = (() => {
  const { element } = view;
  const { find } = shell;
  const { data, example, images, rows } = album;
  const natural = Math.max(1, Math.round(devicePixelRatio));

  function choices(id, name, options, chosen) {
    for (const [value, words] of options) {
      const input = element("input", { type: "radio", name, value });
      input.checked = value === chosen;
      find(id).append(element("label", {}, input, " ", element("span", {}, words)), " ");
    }
  }

  function settings() {
    const form = new FormData(find("settings"));
    const seed = find("seed").value.trim();
    return {
      name: find("name").value.trim(),
      mode: form.get("mode"),
      side: form.get("side"),
      length: Number(form.get("length")),
      pixel: Number(form.get("pixel")),
      seed: /^\d{1,9}$/.test(seed) ? Number(seed) : null,
    };
  }

  // Draws the example with the change of the slider.
  async function sample() {
    const chosen = settings();
    const room = find("sample").parentElement.clientWidth - 48;
    if (room <= 0) return; // another screen is shown
    const image = images[example];
    const level = (Number(find("strength").value) / 300) ** 2 * 0.45;
    const side = chosen.side === "darker" ? "darker" : "brighter";
    const { values } = await album.changed(example, staircase.ratio(level, side));
    const wide = (side) => Math.floor((side * devicePixelRatio) / chosen.pixel);
    const part = view.crop(values, image, image, wide(Math.min(400, room)), wide(Math.min(innerWidth < 700 ? 240 : 400, room)));
    view.paint(find("sample"), part.values, part.width, part.height);
    view.fit(find("sample"), chosen.pixel);
    find("amount").textContent = level ? `${chart.strength(level, side)} ${side}` : "unchanged";
  }

  function refreshed() {
    const { side, pixel } = settings();
    const words = { brighter: "brighter", darker: "darker", both: "brighter or darker" }[side];
    document.querySelector(".direction").textContent = words;
    find("scale").textContent = `One image pixel is drawn as ${pixel === 1 ? "one screen pixel" : `${pixel} × ${pixel} screen pixels`}.`;
    sample();
  }

  function prepare() {
    const sides = new Set(images.map((image) => (image.ratio < 1 ? "darker" : "brighter")));
    find("settings").elements.side.value = sides.size > 1 ? "both" : [...sides][0];
    const lengths = [12, 24, 48].filter((length) => length < rows.length).map((length) => [String(length), String(length)]);
    lengths.push([String(rows.length), `All ${rows.length}`]);
    choices("lengths", "length", lengths, lengths[Math.min(1, lengths.length - 1)][0]);
    const sizes = [...new Set([1, 2, 3, natural])].sort((a, b) => a - b);
    choices("pixels", "pixel", sizes.map((size) => [String(size), `${size} × ${size}`]), String(natural));
    const given = new URLSearchParams(location.hash.slice(1)).get("seed");
    find("seed").value = /^\d{1,9}$/.test(given ?? "") ? given : String(crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000);
    const left = data.rows - images.length;
    find("about").textContent =
      `${images.length} images of the dataset “${data.dataset}”${left ? `; ${left} more did not fit into this file` : ""}. ` +
      "The page contains them without loss and draws each change itself: it multiplies every code value inside the region by the ratio, then rounds and clips as in the dataset " +
      "(stochastic rounding is drawn as nearest). In a dataset of JPEG files the methods saw the change after compression; you see it before compression. " +
      "A click is a hit within 5 px or half the radius of the true centre, whichever is more. The screen around the images is neutral grey so that it does not influence perception. The page sends no data anywhere.";
    find("settings").addEventListener("change", refreshed);
    find("strength").addEventListener("input", sample);
    find("settings").addEventListener("submit", (event) => event.preventDefault());
  }

  // Shows the screen; offers to continue a stored session or to show its result.
  function show(kept, seen) {
    const done = kept?.answers.length ?? 0;
    find("resume").hidden = !done;
    if (done) find("resume").textContent = done < kept.plan.length ? `Continue at ${done + 1} of ${kept.plan.length}` : "Show your last result";
    const fresh = rows.filter((row) => !seen.has(row)).length;
    find("supply").textContent =
      fresh < rows.length ? `${fresh} of ${rows.length} images are new to you` : "Takes a few minutes; no data is sent";
    shell.screen("start");
    refreshed();
  }

  prepare();
  return { sample, settings, show };
})();
