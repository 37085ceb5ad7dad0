// Images on the screen: one image pixel is a whole number of screen pixels, without resampling.
const view = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  const PAD = 4; // px between a region's edge and the line around it

  function element(tag, attributes = {}, ...children) {
    const made = ["svg", "g", "path", "line", "circle", "rect", "text", "polyline", "title"].includes(tag)
      ? document.createElementNS(SVG, tag)
      : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  // An embedded image -> its RGBA values, and whether they equal the embedded ones.
  async function decode(image) {
    const bytes = Uint8Array.from(atob(image.data), (letter) => letter.charCodeAt(0));
    const blob = new Blob([bytes], { type: image.type });
    const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
    const context = surface(element("canvas"), image.width, image.height);
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    const { data } = context.getImageData(0, 0, image.width, image.height);
    return { values: data, exact: pixels.checksum(data) === image.checksum };
  }

  function surface(canvas, width, height) {
    canvas.width = width;
    canvas.height = height;
    return canvas.getContext("2d", { alpha: false, colorSpace: "srgb", willReadFrequently: true });
  }

  function paint(canvas, values, width, height) {
    surface(canvas, width, height).putImageData(new ImageData(values, width, height), 0, 0);
  }

  // Draws each canvas pixel as pixel x pixel screen pixels.
  function fit(canvas, pixel) {
    canvas.style.width = `${(canvas.width * pixel) / devicePixelRatio}px`;
    canvas.style.height = `${(canvas.height * pixel) / devicePixelRatio}px`;
  }

  // A crop around a place, at most width x height px -> its values, left and top.
  function crop(values, image, centre, width, height) {
    width = Math.min(width, image.width);
    height = Math.min(height, image.height);
    const left = Math.round(Math.min(image.width - width, Math.max(0, centre.x - width / 2)));
    const top = Math.round(Math.min(image.height - height, Math.max(0, centre.y - height / 2)));
    const part = new Uint8ClampedArray(4 * width * height);
    for (let row = 0; row < height; row++) {
      const from = 4 * ((top + row) * image.width + left);
      part.set(values.subarray(from, from + 4 * width), 4 * row * width);
    }
    return { values: part, width, height, left, top };
  }

  // A scrolling pane with one image that reports clicks.
  class Pane {
    constructor(label, onPoint) {
      this.canvas = element("canvas", { class: "image" });
      this.marks = element("svg", { class: "marks", "aria-hidden": "true" });
      this.sheet = element("div", { class: "paper" }, this.canvas, this.marks);
      this.root = element(
        "div",
        { class: "pane", tabindex: "0", role: "application", "aria-label": label, "aria-describedby": "keys" },
        this.sheet,
      );
      this.pixel = 1;
      this.touch = false;
      this.sheet.addEventListener("pointerdown", (event) => {
        this.touch = event.pointerType === "touch";
      });
      this.sheet.addEventListener("click", (event) => onPoint(this, this.point(event), this.touch));
    }

    get scale() {
      return this.pixel / devicePixelRatio;
    }

    get overflows() {
      return this.root.scrollWidth > this.root.clientWidth || this.root.scrollHeight > this.root.clientHeight;
    }

    show(values, image, pixel) {
      this.pixel = pixel;
      paint(this.canvas, values, image.width, image.height);
      this.marks.replaceChildren();
      this.settle();
    }

    // Sizes the image and aligns its pixels with those of the screen.
    settle() {
      fit(this.canvas, this.pixel);
      this.sheet.style.left = this.sheet.style.top = "0";
      const box = this.canvas.getBoundingClientRect();
      const part = (side) => (Math.round(side * devicePixelRatio) - side * devicePixelRatio) / devicePixelRatio;
      this.sheet.style.left = `${part(box.left)}px`;
      this.sheet.style.top = `${part(box.top)}px`;
    }

    // A click -> the place in image px, for the middle of the clicked screen pixel.
    point(event) {
      const box = this.canvas.getBoundingClientRect();
      const half = 0.5 / devicePixelRatio;
      const at = (value, side) => Number(Math.min(side - 0.5, Math.max(-0.5, value / this.scale - 0.5)).toFixed(2));
      return {
        x: at(event.clientX + half - box.left, this.canvas.width),
        y: at(event.clientY + half - box.top, this.canvas.height),
      };
    }

    // The middle of the visible part, in image px.
    middle() {
      const outer = this.root.getBoundingClientRect();
      const { x, y } = this.point({ clientX: outer.left + outer.width / 2, clientY: outer.top + outer.height / 2 });
      return { x: Math.round(x), y: Math.round(y) };
    }

    // Scrolls so that a place is visible, with a margin.
    reveal({ x, y }, margin = 60, smooth = false) {
      const [left, top] = [x * this.scale, y * this.scale];
      const go = (at, from, seen) => (at - margin < from ? at - margin : Math.max(from, at + margin - seen));
      this.root.scrollTo({
        left: go(left, this.root.scrollLeft, this.root.clientWidth),
        top: go(top, this.root.scrollTop, this.root.clientHeight),
        behavior: smooth && !matchMedia("(prefers-reduced-motion: reduce)").matches ? "smooth" : "instant",
      });
    }

    cross(place) {
      const old = this.marks.querySelector(".cross");
      if (old) old.remove();
      if (!place) return;
      const [x, y] = [(place.x + 0.5) * this.scale, (place.y + 0.5) * this.scale];
      const arms = `M${x - 18} ${y}h12M${x + 6} ${y}h12M${x} ${y - 18}v12M${x} ${y + 6}v12`;
      this.marks.append(
        element("g", { class: "cross" }, element("path", { class: "halo", d: arms }), element("path", { d: arms })),
      );
    }

    // Draws the outline of the region, the answer as a dot, and a line between them.
    truth(anomaly, answer, hit) {
      this.cross(null);
      const s = this.scale;
      const at = ({ x, y }) => [(x + 0.5) * s, (y + 0.5) * s];
      const group = element("g", { class: hit ? "truth hit" : "truth" });
      if (anomaly) {
        const [x, y] = at(anomaly);
        const reach = (anomaly.r + anomaly.feather / 2 + 0.5) * s + PAD;
        const outline = (kind) =>
          anomaly.shape === "circle"
            ? element("circle", { class: kind, cx: x, cy: y, r: reach })
            : element("rect", { class: kind, x: x - reach, y: y - reach, width: 2 * reach, height: 2 * reach });
        group.append(outline("halo"), outline("line"));
      }
      if (answer) {
        const [x, y] = at(answer);
        if (anomaly && !hit) {
          const [x2, y2] = at(anomaly);
          group.append(element("line", { class: "halo", x1: x, y1: y, x2, y2 }));
          group.append(element("line", { class: "way", x1: x, y1: y, x2, y2 }));
        }
        group.append(element("circle", { class: "dot", cx: x, cy: y, r: 5 }));
      }
      this.marks.append(group);
    }
  }

  return { Pane, crop, decode, element, fit, paint };
})();
