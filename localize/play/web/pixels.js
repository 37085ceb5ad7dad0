// Applies an anomaly to pixels, with the same results as synth/anomaly.py.
// x = column, y = row, pixel centres at integers.
const pixels = (() => {
  // Rounds to nearest, ties to even, like numpy's rint.
  function rint(value) {
    const low = Math.floor(value);
    const rest = value - low;
    if (rest !== 0.5) return rest < 0.5 ? low : low + 1;
    return low % 2 === 0 ? low : low + 1;
  }

  // Stochastic rounding is drawn as nearest, since it depends on numpy's random numbers.
  function changed(value, anomaly) {
    const rounded = anomaly.rounding === "floor" ? Math.floor(value) : rint(value);
    return anomaly.overflow === "wrap" ? rounded & 255 : Math.min(rounded, 255);
  }

  function weight(anomaly, column, row) {
    const dx = Math.abs(column - anomaly.x);
    const dy = Math.abs(row - anomaly.y);
    const circle = anomaly.shape === "circle";
    if (anomaly.feather === 0) {
      const inside = circle
        ? dx * dx + dy * dy <= anomaly.r * anomaly.r
        : dx <= anomaly.r && dy <= anomaly.r;
      return inside ? 1 : 0;
    }
    const distance = circle ? Math.sqrt(dx * dx + dy * dy) : Math.max(dx, dy);
    return Math.min(1, Math.max(0, (anomaly.r - distance) / anomaly.feather + 0.5));
  }

  function span(centre, reach, side) {
    const start = Math.min(side, Math.max(0, Math.ceil(centre - reach)));
    return [start, Math.max(start, Math.min(side, Math.floor(centre + reach) + 1))];
  }

  // RGBA values of a width x height image -> a copy with the anomaly, and the mean code value in
  // the region before and after.
  function apply(values, width, height, anomaly) {
    const result = new Uint8ClampedArray(values);
    const ratio = anomaly.ratio;
    const reach = anomaly.r + anomaly.feather / 2;
    const [left, right] = span(anomaly.x, reach, width);
    const [top, bottom] = span(anomaly.y, reach, height);
    let before = 0;
    let after = 0;
    let count = 0;
    for (let row = top; row < bottom; row++) {
      for (let column = left; column < right; column++) {
        const share = weight(anomaly, column, row);
        if (share === 0) continue;
        const factor = share === 1 ? ratio : 1 + (ratio - 1) * share;
        const at = 4 * (row * width + column);
        for (let i = at; i < at + 3; i++) {
          result[i] = changed(values[i] * factor, anomaly);
          if (share < 0.5) continue;
          before += values[i];
          after += result[i];
          count += 1;
        }
      }
    }
    return { values: result, before: count ? before / count : 0, after: count ? after / count : 0 };
  }

  // Adler-32 of the RGB values, to check that this browser decodes the image exactly.
  function checksum(values) {
    let a = 1;
    let b = 0;
    for (let i = 0; i < values.length; i++) {
      if (i % 4 === 3) continue;
      a = (a + values[i]) % 65521;
      b = (b + a) % 65521;
    }
    return b * 65536 + a;
  }

  return { apply, checksum };
})();
