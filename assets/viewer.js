// Looks closer at pictures: one in the whole window, or two or four, moved and zoomed as one. What
// it shows comes from the strip, and what it decides goes through the page's own buttons.

const FARTHEST = 16;
// What differs is tinted: the longer side at which it is looked for in pixels, how much a value of
// 0 to 255 may differ without being seen, and the tint.
const TINT_SIDE = 1024;
const UNSEEN = 12;
const TINT = [255, 0, 160, 150];
// Pixels that a finger may move in a tap, and must move in a swipe.
const TAP = 5;
const SWIPE = 40;
// Milliseconds in which a second figure belongs to the first.
const TOGETHER = 800;
// Milliseconds and pixels in which a press belongs to the one before, as a double click's second half.
const TWICE = 500;
const NEAR = 10;

const dialog = copyOf("viewer");
const panes = dialog.querySelector("main");
document.body.append(dialog);

// How many are shown, which is chosen and which is beside it, whether two share a place and whether
// what differs between them is tinted; how many times larger than it fits, and which point of the
// picture (0 to 1) is in the middle.
const view = { count: 1, chosen: "", beside: "", flipped: false, tinted: false, zoom: 1, x: 0.5, y: 0.5 };
const fingers = new Map();
let moved = 0;
let typed = { text: "", at: 0 };

const ACTIONS = {
  1: () => set({ count: 1, flipped: false }),
  2: () => set({ count: 2, flipped: false }),
  4: () => set({ count: 4, flipped: false }),
  f: flip,
  t: () => set({ count: 2, tinted: !view.tinted }),
  z: () => zoomTo(view.zoom > 1 ? 1 : wholeSize()),
  "+": () => zoomTo(view.zoom * 1.5),
  "-": () => zoomTo(view.zoom / 1.5),
  a: () => approve(view.chosen),
  ArrowLeft: () => step(-1),
  ArrowRight: () => step(1),
  Escape: () => dialog.close(),
};

// As on the page.
ACTIONS.c = ACTIONS[2];
ACTIONS.v = ACTIONS[4];

// By the keyboard too a picture is moved that is larger than its room: by a share of that.
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const STEP = 1 / 8;

// What lies on the page where the viewer was closed must not be pressed by the same hand.
let pressed = null;
for (const press of ["pointerdown", "mousedown", "click", "keydown"]) {
  addEventListener(press, (event) => {
    if (dialog.open) {
      pressed = event;
    } else if (pressed && event.isTrusted && isSame(pressed, event)) {
      event.preventDefault();
      event.stopImmediatePropagation();
    }
  }, true);
}

function isSame(before, { timeStamp, key, clientX, clientY }) {
  const isNear = Math.hypot(clientX - before.clientX, clientY - before.clientY) < NEAR;
  return timeStamp - before.timeStamp < TWICE && (key ? key === before.key : isNear);
}

document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-look]");
  if (button || target.matches("figure.picture > img")) {
    open(Number(button?.dataset.look ?? 1));
  }
});

document.addEventListener("keydown", (event) => {
  const count = { z: 1, c: 2, v: 4 }[letterOf(event)];
  const elsewhere = "input, textarea, [contenteditable], [role=listbox]";
  if (count && !isModified(event) && !event.target.closest(elsewhere)) {
    open(count);
  }
});

// Without this a finger could choose among attempts in the strip alone.
let start;
document.addEventListener("touchstart", ({ target, touches }) => {
  // Two fingers make it larger, and one moves what has been made so.
  const alone = touches.length === 1 && visualViewport.scale < 1.05;
  start = alone && target.closest("figure.picture") && [touches[0].clientX, touches[0].clientY];
});
document.addEventListener("touchend", ({ changedTouches: [{ clientX, clientY }] }) => {
  const [across, down] = start ? [clientX - start[0], clientY - start[1]] : [0, 0];
  if (Math.abs(across) > Math.max(SWIPE, 2 * Math.abs(down))) {
    select(neighbour(underReview(), across < 0 ? 1 : -1));
  }
});

dialog.addEventListener("click", ({ target, detail }) => {
  const button = target.closest("button");
  if (button?.dataset.key) {
    ACTIONS[button.dataset.key]();
  } else if (button) {
    approve(button.closest("section").dataset.id);
  }
  // Some browsers give a clicked button no focus: a key must not reach the page behind.
  if (dialog.open && detail) {
    panes.focus();
  }
});

dialog.addEventListener("keydown", (event) => {
  // The keys of the page's buttons are none while it is covered.
  event.stopPropagation();
  const key = letterOf(event);
  if (isModified(event)) {
    return;
  }
  if (/^\d$/.test(key)) {
    chooseByNumber(key, event.timeStamp);
  } else if (event.shiftKey && MOVES[key]) {
    event.preventDefault();
    move(...MOVES[key]);
  } else if (ACTIONS[key]) {
    event.preventDefault();
    ACTIONS[key]();
  }
});

dialog.addEventListener("close", () => {
  if (dialog.open) {
    // The browser says it a moment later, and by then a quick hand has opened it again.
    return;
  }
  show([]);
  select(view.chosen);
});

panes.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoomTo(view.zoom * Math.exp(-event.deltaY / 300), event);
}, { passive: false });

panes.addEventListener("pointerdown", (event) => {
  // The other buttons of a mouse have meanings of their own.
  if (event.button || event.target.closest("button")) {
    return;
  }
  if (!fingers.size) {
    moved = 0;
  }
  fingers.set(event.pointerId, event);
  panes.setPointerCapture(event.pointerId);
});

panes.addEventListener("pointermove", (event) => {
  const before = fingers.get(event.pointerId);
  if (!before) {
    return;
  }
  const apart = distance();
  fingers.set(event.pointerId, event);
  moved += Math.hypot(event.clientX - before.clientX, event.clientY - before.clientY);
  const { width, height } = sizeOf(panes.querySelector(".chosen"));
  view.x -= (event.clientX - before.clientX) / width / fingers.size;
  view.y -= (event.clientY - before.clientY) / height / fingers.size;
  zoomTo(apart ? (view.zoom * distance()) / apart : view.zoom);
});

for (const end of ["pointerup", "pointercancel"]) {
  panes.addEventListener(end, (event) => {
    if (fingers.delete(event.pointerId) && end === "pointerup" && moved < TAP && !fingers.size) {
      tap(event);
    }
  });
}

window.addEventListener("resize", () => dialog.open && place());

// What can be looked at: not what is set aside, unless it is what is under review.
function all() {
  const strip = inStrip().filter((image) => !("aside" in image.dataset) || idOf(image) === underReview());
  const images = strip.length ? strip : [...document.querySelectorAll("figure.picture > img")];
  return images.map((image) => {
    const [id, number] = image.dataset.attempt.split(" ");
    const [width, height] = image.style.getPropertyValue("--shape").split("/").map(Number);
    const address = image.src.replace(/\/(thumbnail|screen)$/, "");
    return { id, number, width, height, address, alt: image.alt, maker: image.dataset.maker };
  });
}

function inStrip() {
  return [...document.querySelectorAll(".st-key-strip img")];
}

function radios() {
  return [...document.querySelectorAll(".st-key-strip [role=radio]")];
}

function idOf(image) {
  return image?.dataset.attempt.split(" ")[0];
}

function indexOf(id) {
  return all().findIndex((picture) => picture.id === id);
}

// After the last comes the first.
function neighbour(id, by) {
  const pictures = all();
  return pictures.at((indexOf(id) + by) % pictures.length)?.id;
}

// The strip knows what has been chosen before its picture comes.
function underReview() {
  const at = radios().findIndex((radio) => radio.ariaChecked === "true");
  return idOf(inStrip()[at] ?? document.querySelector("figure.picture > img"));
}

function open(count) {
  const chosen = underReview();
  if (!chosen || dialog.open) {
    return;
  }
  dialog.classList.toggle("alone", all().length < 2);
  dialog.showModal();
  set({ count, chosen, beside: "", flipped: false, tinted: false, zoom: 1, x: 0.5, y: 0.5 });
  panes.focus();
}

function set(changes) {
  Object.assign(view, changes);
  const before = new Map([...panes.children].map((pane) => [pane.dataset.id, pane]));
  const now = shown().map((picture) => before.get(picture.id) ?? build(picture));
  if (!now.some((pane) => pane.dataset.id === view.chosen)) {
    // It has gone from the page meanwhile.
    dialog.close();
    return;
  }
  if (now.length !== before.size || now.some((pane, index) => pane !== panes.children[index])) {
    show(now);
  }
  for (const pane of now) {
    pane.classList.toggle("chosen", pane.dataset.id === view.chosen);
    pane.ariaCurrent = String(pane.dataset.id === view.chosen);
  }
  panes.dataset.count = view.flipped ? 1 : now.length;
  panes.classList.toggle("flipped", view.flipped);
  for (const button of dialog.querySelectorAll("[data-key]")) {
    button.ariaPressed = String(button.dataset.key === (view.flipped ? "f" : `${view.count}`));
  }
  dialog.querySelector("[data-key=t]").ariaPressed = String(view.tinted);
  tint();
  place();
}

function show(now) {
  for (const pane of panes.children) {
    if (!now.includes(pane)) {
      // Wanted no more, and must not take the line from what is.
      pane.original.src = "";
    }
  }
  panes.replaceChildren(...now);
}

function shown() {
  const pictures = all();
  const here = indexOf(view.chosen);
  if (view.count === 4) {
    // Never fewer than there may be: who looks at the newest compares it with those before it.
    const first = Math.max(0, Math.min(here - (here % 4), pictures.length - 4));
    return pictures.slice(first, first + 4);
  }
  const beside = pictures.findIndex(({ id }) => id === view.beside && id !== view.chosen);
  const other = beside < 0 ? (here || 2) - 1 : beside;
  view.beside = pictures[other]?.id ?? "";
  return pictures.filter((_, index) => index === here || (view.count === 2 && index === other));
}

function build({ id, number, width, height, address, alt, maker }) {
  const pane = copyOf("pane");
  const image = pane.querySelector("img");
  pane.dataset.id = id;
  Object.assign(image.style, { width: `${width}px`, height: `${height}px` });
  Object.assign(image, { alt, draggable: false, src: `${address}/screen` });
  pane.querySelector("b").textContent = number;
  // Who made it matters where not all have the same maker.
  pane.querySelector("small").textContent = all().every((one) => one.maker === maker) ? "" : maker;
  pane.querySelector("button").ariaLabel = `Approve picture ${number}`;
  pane.querySelector("button").hidden = !document.querySelector("[class*=st-key-Approve-] button:enabled");
  bring(pane, address);
  return pane;
}

async function bring(pane, address) {
  const original = new Image();
  pane.original = original;
  original.src = address;
  await original.decode().catch(() => {});
  if (original.naturalWidth) {
    pane.querySelector("img").src = original.src;
    pane.classList.add("original");
    tint();
    place();
  }
}

// Lay over the chosen one of two what differs in it from the other; of the originals alone, because
// versions for the screen differ everywhere.
function tint() {
  panes.querySelectorAll("canvas").forEach((canvas) => canvas.remove());
  const [pane, other] = [view.chosen, view.beside].map(paneOf);
  const [a, b] = [pane, other].map((one) => one?.original);
  const there = view.tinted && view.count === 2 && [a, b].every((one) => one?.complete && one.naturalWidth);
  if (there && a.naturalWidth === b.naturalWidth && a.naturalHeight === b.naturalHeight) {
    pane.firstElementChild.append(difference(a, b, pane.querySelector("img").style));
  }
}

function difference(a, b, { width, height }) {
  const share = Math.min(1, TINT_SIDE / Math.max(a.naturalWidth, a.naturalHeight));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(a.naturalWidth * share));
  canvas.height = Math.max(1, Math.round(a.naturalHeight * share));
  Object.assign(canvas.style, { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const [one, two] = [a, b].map((image) => {
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    return context.getImageData(0, 0, canvas.width, canvas.height);
  });
  for (let at = 0; at < one.data.length; at += 4) {
    let most = 0;
    for (let band = at; band < at + 4; band += 1) {
      most = Math.max(most, Math.abs(one.data[band] - two.data[band]));
    }
    one.data.set(most > UNSEEN ? TINT : [0, 0, 0, 0], at);
  }
  context.putImageData(one, 0, 0);
  return canvas;
}

function step(by) {
  choose(neighbour(view.chosen, by));
}

function choose(id) {
  // Of two that stand beside each other the one that was chosen makes room.
  const stays = view.count === 2 && id !== view.beside ? view.beside : view.chosen;
  set({ beside: stays, chosen: id });
}

function chooseByNumber(key, at) {
  const pictures = all();
  const begun = at - typed.at < TOGETHER ? typed.text + key : key;
  typed = { text: pictures.some(({ number }) => number.startsWith(begun)) ? begun : key, at };
  const found = pictures.find(({ number }) => number === typed.text);
  if (found) {
    choose(found.id);
  }
}

function flip() {
  if (view.flipped) {
    set({ chosen: view.beside, beside: view.chosen });
  } else if (all().length > 1) {
    set({ count: 2, flipped: true });
  }
}

function tap(event) {
  const pane = paneAt(event);
  if (!pane) {
    return;
  }
  if (pane.dataset.id !== view.chosen) {
    set({ chosen: pane.dataset.id, beside: view.chosen });
  } else {
    zoomTo(view.zoom > 1 ? 1 : wholeSize(), event);
  }
}

// How many times larger than it fits a picture is at one pixel for each of its own.
function wholeSize() {
  const { fit } = sizeOf(panes.querySelector(".chosen"));
  return fit < 0.9 ? 1 / fit : 2;
}

// Zoom, and leave what is under the pointer where it is.
function zoomTo(zoom, pointer) {
  const pane = (pointer && paneAt(pointer)) ?? panes.querySelector(".chosen");
  const { left, top } = pane.firstElementChild.getBoundingClientRect();
  const before = sizeOf(pane);
  view.zoom = Math.min(FARTHEST, Math.max(1, zoom));
  if (pointer) {
    const after = sizeOf(pane);
    const [x, y] = [pointer.clientX - left, pointer.clientY - top];
    view.x += (x - before.roomX / 2) * (1 / before.width - 1 / after.width);
    view.y += (y - before.roomY / 2) * (1 / before.height - 1 / after.height);
  }
  place();
}

function move(across, down) {
  const { roomX, roomY, width, height } = sizeOf(panes.querySelector(".chosen"));
  view.x += (across * STEP * roomX) / width;
  view.y += (down * STEP * roomY) / height;
  place();
}

function sizeOf(pane) {
  const { clientWidth: roomX, clientHeight: roomY } = pane.firstElementChild;
  const { width, height } = pane.querySelector("img").style;
  const fit = Math.min(roomX / parseFloat(width), roomY / parseFloat(height));
  const scale = fit * view.zoom;
  return { roomX, roomY, fit, scale, width: parseFloat(width) * scale, height: parseFloat(height) * scale };
}

function place() {
  for (const pane of panes.children) {
    const { roomX, roomY, scale, width, height } = sizeOf(pane);
    const [x, y] = [within(view.x, roomX / width / 2), within(view.y, roomY / height / 2)];
    const [left, top] = [roomX / 2 - x * width, roomY / 2 - y * height];
    if (pane.matches(".chosen")) {
      Object.assign(view, { x, y });
    }
    for (const layer of pane.firstElementChild.children) {
      layer.style.transform = `translate(${left}px, ${top}px) scale(${scale})`;
    }
  }
  dialog.classList.toggle("zoomed", view.zoom > 1);
}

// The middle of a picture that is larger than its room stays so far from its edges.
function within(middle, edge) {
  return edge >= 0.5 ? 0.5 : Math.min(1 - edge, Math.max(edge, middle));
}

function distance() {
  const [one, other] = fingers.values();
  return other ? Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) : 0;
}

function paneOf(id) {
  return [...panes.children].find((pane) => pane.dataset.id === id);
}

function paneAt({ clientX, clientY }) {
  return document.elementsFromPoint(clientX, clientY).find((one) => one.matches("main > section"));
}

// A key by what is written on it; where that is no Latin letter, by its place.
function letterOf({ key = "", code }) {
  if (key.length !== 1) {
    return key;
  }
  return key > "\u007f" ? code.replace(/^(Key|Digit)/, "").toLowerCase() : key.toLowerCase();
}

function isModified({ ctrlKey, metaKey, altKey }) {
  return ctrlKey || metaKey || altKey;
}

function select(id) {
  const at = inStrip().findIndex((image) => idOf(image) === id);
  const radio = radios()[at];
  if (radio?.ariaChecked === "false") {
    radio.click();
  }
}

async function approve(id) {
  const pane = paneOf(id);
  if (pane.querySelector("button").hidden) {
    return;
  }
  view.chosen = id;
  dialog.close();
  let wanted = true;
  const meanwhile = new AbortController();
  for (const something of ["pointerdown", "keydown"]) {
    const heard = { capture: true, signal: meanwhile.signal };
    addEventListener(something, () => { wanted = false; }, heard);
  }
  // The page's own button for this attempt comes once the page shows it; who does something else
  // until then has changed their mind, and one that rests there approves nothing later.
  let button = null;
  for (const until = performance.now() + 10_000; !button && wanted && performance.now() < until; ) {
    await new Promise(requestAnimationFrame);
    button = document.querySelector(approval(id));
  }
  meanwhile.abort();
  if (wanted) {
    button?.click();
  }
}

// The page's button that approves an attempt.
function approval(id) {
  return `.st-key-Approve-${CSS.escape(id)} button`;
}

function copyOf(name) {
  return document.getElementById(name).content.firstElementChild.cloneNode(true);
}
