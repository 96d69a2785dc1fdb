"use strict";
// The comparison of two pictures of the same frame: split at a slider, their difference, a
// foreground on a colour, or a layer with what is uncertain in it; whole, or zoomed to single
// pixels. It only draws and never reads pixels, because a browser does not let a page read those of
// files beside it.
// players: each has name, size, and picture(), which returns the element that shows the current
// frame, or null. cutouts: places in players of a foreground and of its matte. certainties: places
// of a layer and of the grey picture that is white where the layer is certain.
function makeComparison(players, cutouts, certainties) {
  const canvas = document.getElementById("compare");
  if (!canvas) return { draw() {}, keys: {} };
  const clamp = (value, least, most) => Math.min(most, Math.max(least, value));
  const frame = canvas.parentElement;
  const divide = document.getElementById("divide");
  const sides = [document.getElementById("left"), document.getElementById("right")];
  const tags = [document.getElementById("tag-left"), document.getElementById("tag-right")];
  const zoomText = document.getElementById("zoom");
  const remark = document.getElementById("remark");
  const gain = document.getElementById("gain");
  const color = document.getElementById("color");
  const PERCENTS = [25, 50, 100, 200, 400, 800, 1600];
  const UNCERTAIN = "#ff2fd0"; // a colour that few scenes have
  const BOARD = { side: 8, dark: "#cccccc", light: "#f2f2f2" };
  let view = "split";
  // The size of the pictures that are compared, in pixels; and where the canvas looks at them:
  // zoom is 1 where the whole picture is shown, at is the middle in parts of the picture.
  let source = [16, 9], zoom = 1, at = [0.5, 0.5];

  const sizeOf = (image) => [
    image.videoWidth || image.naturalWidth || image.width,
    image.videoHeight || image.naturalHeight || image.height,
  ];
  // Percent of the picture's own size at which it is shown if zoom is 1.
  const fitPercent = () => (100 * (canvas.clientWidth || canvas.width)) / source[0];

  function fitCanvas(image) {
    source = sizeOf(image);
    canvas.style.setProperty("--aspect", String(source[0] / source[1]));
    const shown = canvas.clientWidth || 960;
    const width = Math.round(clamp(shown * (window.devicePixelRatio || 1), 320, 2560));
    const height = Math.max(1, Math.round((width * source[1]) / source[0]));
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
  }
  function put(pen, image) {
    const width = canvas.width * zoom, height = canvas.height * zoom;
    const size = sizeOf(image);
    // Pixels that are seen one by one stay squares.
    pen.imageSmoothingEnabled = width / size[0] < 2.5;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(
      image, canvas.width / 2 - at[0] * width, canvas.height / 2 - at[1] * height, width, height,
    );
  }
  const spare = [0, 1].map(() => document.createElement("canvas"));
  // Returns the pen of an empty canvas of the same size.
  function sparePen(number, fill) {
    const other = spare[number];
    other.width = canvas.width;
    other.height = canvas.height;
    const pen = other.getContext("2d");
    pen.fillStyle = fill;
    pen.fillRect(0, 0, other.width, other.height);
    return pen;
  }
  let board = null;
  // Returns the checkerboard behind a foreground's preview, in the preview's size.
  function checkerboard(size) {
    if (board && board.width === size[0] && board.height === size[1]) return board;
    board = document.createElement("canvas");
    [board.width, board.height] = size;
    const pen = board.getContext("2d");
    for (let y = 0; y * BOARD.side < size[1]; y++) {
      for (let x = 0; x * BOARD.side < size[0]; x++) {
        pen.fillStyle = (x + y) % 2 ? BOARD.light : BOARD.dark;
        pen.fillRect(x * BOARD.side, y * BOARD.side, BOARD.side, BOARD.side);
      }
    }
    return board;
  }

  function drawSplit(pen, shown, well) {
    const edge = Math.round((canvas.width * Number(divide.value)) / 1000);
    const unit = canvas.width / Math.max(1, canvas.clientWidth || canvas.width);
    [[0, edge], [edge, canvas.width]].forEach(([from, to], k) => {
      pen.save();
      pen.beginPath();
      pen.rect(from, 0, to - from, canvas.height);
      pen.clip();
      pen.fillStyle = well;
      pen.fillRect(from, 0, to - from, canvas.height);
      if (shown[k]) put(pen, shown[k]);
      pen.restore();
    });
    const thick = 2 * unit;
    pen.shadowColor = "rgba(0, 0, 0, 0.5)";
    pen.shadowBlur = 4 * unit;
    pen.fillStyle = "#fff";
    pen.fillRect(edge - thick / 2, 0, thick, canvas.height);
    pen.beginPath();
    pen.arc(edge, canvas.height / 2, 6 * thick, 0, 7);
    pen.fill();
    pen.shadowBlur = 0;
  }
  function drawDifference(pen, shown) {
    put(pen, shown[0]);
    pen.globalCompositeOperation = "difference";
    put(pen, shown[1]);
    // Added to itself, the canvas is twice as bright.
    pen.globalCompositeOperation = "lighter";
    for (let times = Number(gain.value); times > 1; times /= 2) pen.drawImage(canvas, 0, 0);
    pen.globalCompositeOperation = "source-over";
  }
  function drawCutout(pen, cutout, images) {
    const fill = color.value;
    pen.fillStyle = fill;
    pen.fillRect(0, 0, canvas.width, canvas.height);
    if (!images.matte) return put(pen, images.foreground);
    // 1 - m, the part of the colour.
    const rest = sparePen(0, "#fff");
    rest.globalCompositeOperation = "difference";
    put(rest, images.matte);
    pen.globalCompositeOperation = "multiply";
    pen.drawImage(spare[0], 0, 0);
    // m F: the preview shows m F + (1 - m) board, and both its parts are positive.
    const part = sparePen(1, "#000");
    if (cutout.board) {
      put(part, checkerboard(sizeOf(images.foreground)));
      part.globalCompositeOperation = "multiply";
      part.drawImage(spare[0], 0, 0);
      part.globalCompositeOperation = "difference";
    }
    put(part, images.foreground);
    pen.globalCompositeOperation = "lighter";
    pen.drawImage(spare[1], 0, 0);
    pen.globalCompositeOperation = "source-over";
  }

  // Draws c L + (1 - c) colour for a layer L that is certain by c.
  function drawCertainty(pen, layer, certainty) {
    put(pen, layer);
    if (!certainty) return;
    pen.globalCompositeOperation = "multiply";
    put(pen, certainty);
    const rest = sparePen(0, "#fff");
    rest.globalCompositeOperation = "difference";
    put(rest, certainty);
    rest.globalCompositeOperation = "multiply";
    rest.fillStyle = UNCERTAIN;
    rest.fillRect(0, 0, canvas.width, canvas.height);
    pen.globalCompositeOperation = "lighter";
    pen.drawImage(spare[0], 0, 0);
    pen.globalCompositeOperation = "source-over";
  }

  // Returns the first of the pairs of players that is chosen on one side, or the first of all.
  function chosenOf(pairs) {
    const chosen = sides.map((side) => Number(side.value)).reverse();
    const having = (place) => pairs.filter((pair) => Object.values(pair).includes(place));
    return chosen.flatMap(having)[0] || pairs[0];
  }
  function setTags(left, right) {
    tags[0].textContent = left;
    tags[1].textContent = right;
    tags[1].hidden = !right;
    tags[0].classList.toggle("alone", !right);
  }
  const GONE = ": not visible in this frame";
  function draw() {
    const pair = sides.map((side) => players[Number(side.value)]);
    const cutout = view === "cutout" ? chosenOf(cutouts) : null;
    const certainty = view === "certainty" ? chosenOf(certainties) : null;
    const wanted = cutout
      ? [players[cutout.foreground]]
      : certainty ? [players[certainty.layer]] : pair;
    const shown = wanted.map((player) => player.picture());
    const matte = cutout && cutout.matte !== null ? players[cutout.matte].picture() : null;
    const ready = {
      split: true,
      difference: shown[0] && shown[1],
      cutout: cutout && shown[0] && (cutout.matte === null || matte),
      certainty: shown[0],
    }[view];
    if (shown[0] || shown[1]) fitCanvas(shown[0] || shown[1]);
    const pen = canvas.getContext("2d");
    const style = getComputedStyle(document.documentElement);
    const well = style.getPropertyValue("--well").trim();
    pen.fillStyle = well;
    pen.fillRect(0, 0, canvas.width, canvas.height);
    canvas.classList.toggle("heat", view === "difference" && Boolean(ready));
    if (view === "split") {
      drawSplit(pen, shown, well);
      setTags(...pair.map((player, k) => player.name + (shown[k] ? "" : GONE)));
    } else if (!ready) {
      const missing = wanted.filter((player, k) => !shown[k]);
      setTags((missing[0] || wanted[0]).name + GONE, "");
    } else if (view === "difference") {
      drawDifference(pen, shown);
      setTags(`${pair[0].name} and ${pair[1].name}`, "");
    } else if (view === "cutout") {
      drawCutout(pen, cutout, { foreground: shown[0], matte });
      setTags(`${wanted[0].name} on ${color.value}`, "");
    } else {
      drawCertainty(pen, shown[0], players[certainty.certainty].picture());
      setTags(`what is uncertain in ${wanted[0].name}`, "");
    }
    const percent = Math.round(zoom * fitPercent());
    zoomText.textContent = zoom === 1 ? `fit, ${percent} %` : `${percent} %`;
    canvas.dataset.view = view;
  }

  const REMARKS = {
    split: "",
    difference:
      "Black is equal. Players may show previews, which are compressed: that alone makes " +
      "differences of a few levels of 255.",
    cutout: "The foreground as it would lie on another background, by its matte.",
    certainty: "The more of the colour, the less the input tells of this pixel.",
  };
  function setView(wanted) {
    view = wanted;
    frame.classList.toggle("is-split", view === "split");
    for (const button of document.querySelectorAll("button[data-view]")) {
      button.setAttribute("aria-pressed", String(button.dataset.view === view));
    }
    for (const part of document.querySelectorAll("[data-only]")) {
      part.hidden = part.dataset.only !== view;
    }
    divide.disabled = view !== "split";
    remark.textContent = REMARKS[view];
    draw();
  }
  // Zooms so that the point under (x, y), in parts of the canvas, stays where it is.
  function zoomTo(wanted, x = 0.5, y = 0.5) {
    const next = clamp(wanted, 1, Math.max(1, 1600 / fitPercent()));
    const point = [at[0] + (x - 0.5) / zoom, at[1] + (y - 0.5) / zoom];
    at = [point[0] - (x - 0.5) / next, point[1] - (y - 0.5) / next];
    zoom = next;
    look(0, 0);
  }
  // Moves the view by parts of the canvas, within the picture.
  function look(right, down) {
    const half = 0.5 / zoom;
    at = [at[0] + right / zoom, at[1] + down / zoom].map((part) => clamp(part, half, 1 - half));
    frame.classList.toggle("zoomed", zoom > 1);
    draw();
  }
  function zoomBy(direction) {
    const now = zoom * fitPercent();
    const steps = PERCENTS.filter((each) => each > fitPercent());
    const more = steps.find((each) => each > now * 1.01);
    const less = [...steps].reverse().find((each) => each < now * 0.99);
    const next = direction > 0 ? more || now : less || fitPercent();
    zoomTo(next / fitPercent());
  }
  const zooms = {
    in: () => zoomBy(1),
    out: () => zoomBy(-1),
    fit: () => zoomTo(1),
    pixels: () => zoomTo(100 / fitPercent()),
  };

  // The mouse and fingers: one moves the divide or the zoomed picture, two zoom.
  const GRIP = 28; // pixels beside the divide in which it is taken
  const fingers = new Map();
  let moving = false, spread = 0;
  const part = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  const distance = () => {
    const [one, other] = [...fingers.values()];
    return Math.hypot(one[0] - other[0], one[1] - other[1]);
  };
  function drag(event) {
    divide.value = String(Math.round(clamp(part(event)[0], 0, 1) * 1000));
    draw();
  }
  frame.addEventListener("pointerdown", (event) => {
    frame.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, part(event));
    if (fingers.size === 2) spread = distance();
    const off = Math.abs(part(event)[0] - Number(divide.value) / 1000) * canvas.clientWidth;
    moving = zoom > 1 && (view !== "split" || off > GRIP);
    frame.classList.toggle("moving", moving);
    if (!moving && view === "split") drag(event);
  });
  frame.addEventListener("pointermove", (event) => {
    if (!frame.hasPointerCapture(event.pointerId)) return;
    const before = fingers.get(event.pointerId), now = part(event);
    fingers.set(event.pointerId, now);
    if (fingers.size === 2) {
      const next = distance();
      zoomTo((zoom * next) / Math.max(0.01, spread), now[0], now[1]);
      spread = next;
    } else if (moving) look(before[0] - now[0], before[1] - now[1]);
    else if (view === "split") drag(event);
  });
  for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
    frame.addEventListener(name, (event) => {
      fingers.delete(event.pointerId);
      frame.classList.remove("moving");
    });
  }
  frame.addEventListener("dblclick", (event) => {
    const isNear = zoom * fitPercent() > 399;
    zoomTo(isNear ? 1 : Math.max(2, 400 / fitPercent()), ...part(event));
  });
  frame.addEventListener("wheel", (event) => {
    // The wheel alone scrolls the page; with Ctrl, or by pinching a touchpad, it zooms.
    if (!event.ctrlKey) return;
    event.preventDefault();
    zoomTo(zoom * Math.exp(-event.deltaY / 200), ...part(event));
  }, { passive: false });

  divide.addEventListener("input", draw);
  for (const side of sides) side.addEventListener("change", draw);
  for (const button of document.querySelectorAll("button[data-view]")) {
    button.addEventListener("click", () => setView(button.dataset.view));
  }
  for (const button of document.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", zooms[button.dataset.zoom]);
  }
  gain.addEventListener("change", draw);
  if (color) {
    const markColor = () => {
      for (const button of document.querySelectorAll("[data-color]")) {
        button.setAttribute("aria-pressed", String(button.dataset.color === color.value));
      }
      draw();
    };
    color.addEventListener("input", markColor);
    for (const button of document.querySelectorAll("[data-color]")) {
      button.addEventListener("click", () => {
        color.value = button.dataset.color;
        markColor();
      });
    }
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  addEventListener("resize", draw);
  frame.classList.add("is-split");
  const keys = {
    "+": zooms.in,
    "=": zooms.in,
    "-": zooms.out,
    0: zooms.fit,
    1: zooms.pixels,
    d: () => setView(view === "difference" ? "split" : "difference"),
  };
  if (cutouts.length) keys.c = () => setView(view === "cutout" ? "split" : "cutout");
  if (certainties.length) keys.u = () => setView(view === "certainty" ? "split" : "certainty");
  return { draw, keys, look, isZoomed: () => zoom > 1 };
}
