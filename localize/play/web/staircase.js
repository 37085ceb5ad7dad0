// The order of the trials and the size of each change; seeded, so that a session can be repeated.
// A level is |ln ratio|: 0.05 is a ratio of about 1.05, or 0.95.
const staircase = (() => {
  const SLOPE = 2; // of the Weibull curve, assumed
  const LAPSE = 0.04; // miss rate for arbitrarily large changes, assumed
  const GUESS = { find: 0.02, compare: 0.5 };
  const WEAKEST = 0.004;
  const STRONGEST = Math.LN2;
  const EASY = [0.35, 0.25]; // levels of the first trials, to introduce the task
  const AROUND = [0.8, 1.2, 1.7]; // levels of later trials, as multiples of the threshold estimate
  const BLOCK = 8; // one trial in each block has no change

  // The grid of thresholds for the posterior.
  const GRID = Array.from({ length: 160 }, (_, i) => WEAKEST * (STRONGEST / WEAKEST) ** (i / 159));

  // Seeds -> a random number generator for 0 to 1 (mulberry32).
  function random(...seeds) {
    let state = 0x9e3779b9;
    for (const seed of seeds) {
      state = Math.imul(state ^ seed, 0x85ebca6b);
      state ^= state >>> 13;
    }
    return () => {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    };
  }

  function shuffled(list, next) {
    const result = [...list];
    for (let i = result.length - 1; i > 0; i--) {
      const j = Math.floor(next() * (i + 1));
      [result[i], result[j]] = [result[j], result[i]];
    }
    return result;
  }

  // Rows -> one entry per trial: the row, whether it stays unchanged, the side of the ratio, and
  // on which side of the screen the changed image is. Rows not seen before come first.
  function plan(rows, seen, length, sides, seed) {
    const next = random(seed, 1);
    const fresh = shuffled(rows, next);
    const order = [...fresh.filter((row) => !seen.has(row)), ...fresh.filter((row) => seen.has(row))];
    const trials = [];
    let blank = -1;
    order.slice(0, length).forEach((row, i) => {
      if (i % BLOCK === 0) blank = i + 3 + Math.floor(next() * (BLOCK - 3));
      trials.push({
        row,
        unchanged: i === blank,
        side: sides[i < 2 * sides.length ? i % sides.length : Math.floor(next() * sides.length)],
        place: next() < 0.5 ? "left" : "right",
      });
    });
    return trials;
  }

  // The hit rate at a level; at the threshold it is halfway between guess and 1 - lapse.
  function hitRate(level, threshold, guess) {
    const found = 1 - Math.exp(-Math.LN2 * (level / threshold) ** SLOPE);
    return guess + (1 - guess - LAPSE) * found;
  }

  // Trials of one side, [level, hit] each -> posterior probabilities of the thresholds of the grid.
  function posterior(trials, guess) {
    const logs = GRID.map((threshold) => {
      let log = -0.5 * (Math.log10(threshold / 0.08) / 0.6) ** 2;
      for (const [level, hit] of trials) {
        const rate = hitRate(level, threshold, guess);
        log += Math.log(hit ? rate : 1 - rate);
      }
      return log;
    });
    const most = Math.max(...logs);
    const weights = logs.map((log) => Math.exp(log - most));
    const total = weights.reduce((sum, value) => sum + value, 0);
    return weights.map((value) => value / total);
  }

  function quantile(probabilities, share) {
    let sum = 0;
    for (let i = 0; i < GRID.length; i++) {
      const part = probabilities[i];
      if (sum + part >= share) {
        const within = (share - sum) / part - 0.5;
        return GRID[i] * (GRID[1] / GRID[0]) ** within;
      }
      sum += part;
    }
    return GRID[GRID.length - 1];
  }

  // Trials -> posterior median and 95 % interval of the threshold, as levels.
  function estimate(trials, guess) {
    const probabilities = posterior(trials, guess);
    const [low, middle, high] = [0.025, 0.5, 0.975].map((share) => quantile(probabilities, share));
    return { low, middle, high, probabilities };
  }

  // The hit rate at a level, with its 95 % interval, for the posterior of the threshold.
  function expected(level, probabilities, guess) {
    return [0.025, 0.5, 0.975].map((share) => hitRate(level, quantile(probabilities, 1 - share), guess));
  }

  // The level of the next trial of a side, given the earlier ones.
  function level(trials, guess, seed, number) {
    if (trials.length < EASY.length) return EASY[trials.length];
    const factor = AROUND[Math.floor(random(seed, 2, number)() * AROUND.length)];
    const wanted = factor * estimate(trials, guess).middle;
    return Math.min(STRONGEST, Math.max(WEAKEST, wanted));
  }

  // A level as a ratio, rounded before it is used so that the recorded ratio is exact.
  function ratio(value, side) {
    return Number(Math.exp(side === "darker" ? -value : value).toFixed(4));
  }

  return { GUESS, BLOCK, random, shuffled, plan, hitRate, estimate, expected, level, ratio };
})();
