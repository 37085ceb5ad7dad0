// The pictures that this page holds, and how each looks with its change at any ratio.
const album = (() => {
  const data = JSON.parse(shell.find("data").textContent);
  const { pictures, example } = data;
  // The picture of the example is no question, as its place is shown, unless there are hardly any.
  const rows = pictures.map((_, i) => i).filter((i) => pictures.length < 6 || i !== example);
  const key = `acuity-play ${pictures.map((picture) => picture.checksum).join(" ")}`;
  const decoded = new Map();

  // A row -> the RGBA values of its clean twin.
  function clean(row) {
    if (!decoded.has(row)) {
      if (decoded.size > 8) decoded.delete(decoded.keys().next().value);
      decoded.set(row, view.decode(pictures[row]).then(checked));
    }
    return decoded.get(row);
  }

  function checked({ values, exact }) {
    if (!exact) {
      shell.notify(
        "This browser alters the pixels of pictures, so that the test is not exact. " +
          "A setting against fingerprinting does that: try another browser.",
      );
    }
    return values;
  }

  // A row and a ratio -> the values with the change, and the mean inside before and after.
  async function changed(row, ratio) {
    const picture = pictures[row];
    return pixels.apply(await clean(row), picture.width, picture.height, { ...picture, ratio });
  }

  return { changed, clean, data, example, key, pictures, rows };
})();
