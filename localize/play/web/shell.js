// Shared by all screens: elements by id, notices, the theme, and storage between visits.
const shell = (() => {
  const find = (id) => document.getElementById(id);

  // Local storage, if the browser allows it for local files.
  const store = {
    read(key) {
      try {
        return JSON.parse(localStorage.getItem(key));
      } catch {
        return null;
      }
    },
    write(key, value) {
      try {
        localStorage.setItem(key, JSON.stringify(value));
      } catch {
        // In private windows and with full storage, nothing is stored.
      }
    },
  };

  function notify(words) {
    find("notice").textContent = words;
    find("notice").hidden = !words;
  }

  function screen(name) {
    for (const id of ["start", "trial", "results"]) find(id).hidden = id !== name;
    find("finish").hidden = name !== "trial";
    document.body.dataset.screen = name;
    scrollTo(0, 0);
  }

  function theme(name) {
    document.documentElement.dataset.theme = name;
    find("theme").textContent = name === "dark" ? "Light" : "Dark";
    find("theme").setAttribute("aria-label", `${name === "dark" ? "Light" : "Dark"} theme`);
  }

  find("theme").addEventListener("click", () => {
    const name = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    theme(name);
    store.write("acuity-play theme", name);
  });
  theme(store.read("acuity-play theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));

  return { find, notify, screen, store };
})();
