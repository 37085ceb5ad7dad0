// The embedded images, and each with its change at any ratio.
const album = (() => {
  const data = JSON.parse(shell.find("data").textContent);
  const { images, example } = data;
  // The example shows its region, so it is no trial, unless there are very few images.
  const rows = images.map((_, i) => i).filter((i) => images.length < 6 || i !== example);
  const key = `acuity-play ${images.map((image) => image.checksum).join(" ")}`;
  const decoded = new Map();

  // A row -> the RGBA values of its clean twin.
  function clean(row) {
    if (!decoded.has(row)) {
      if (decoded.size > 8) decoded.delete(decoded.keys().next().value);
      decoded.set(row, view.decode(images[row]).then(checked));
    }
    return decoded.get(row);
  }

  function checked({ values, exact }) {
    if (!exact) {
      shell.notify(
        "This browser changes the pixels of images, so the test is not exact. " +
          "The cause is protection against fingerprinting: use another browser.",
      );
    }
    return values;
  }

  // A row and a ratio -> the RGBA values with the change, and the mean in the region before and after.
  async function changed(row, ratio) {
    const image = images[row];
    return pixels.apply(await clean(row), image.width, image.height, { ...image, ratio });
  }

  return { changed, clean, data, example, key, images, rows };
})();
