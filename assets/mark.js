// Lets a person mark a place on the picture under review. Strokes are in the picture's own pixels;
// drawing is the browser's alone, and each stroke is one message when it has ended.

const SVG = "http://www.w3.org/2000/svg";
// In widths of the brush: a stroke that ends so near to where it began encloses a place.
const NEAR = 2;
// In widths of the brush: nearer points change nothing that can be seen of a stroke.
const STEP = 1 / 8;

let surface;
// What was being drawn on a picture, by its id, when another one took its place.
const brokenOff = new Map();

// Called when the controls come, and again with each change of what the server sends along.
export default function mount({ data, parentElement, setStateValue }) {
  if (surface?.data.id !== data.id) {
    surface?.leave();
    surface = begin(data, parentElement, (strokes) => setStateValue("strokes", JSON.stringify(strokes)));
  }
  const mine = surface;
  return () => {
    mine.leave();
    surface = surface === mine ? undefined : surface;
  };
}

function begin(data, controls, send) {
  const { width, height, brush } = data;
  const strokes = JSON.parse(data.strokes || "[]");
  // What was marked before each step that can be taken back.
  const past = [];
  const svg = document.createElementNS(SVG, "svg");
  // The one finger, pen or mouse that draws.
  let drawing;
  // Who has drawn chooses by figures as elsewhere; who came here by the keyboard marks by them.
  let isByKeys = true;
  const app = document.querySelector("[data-testid=stApp]");
  // What is drawn while the line is away, Streamlit sends to nobody.
  let unheard = false;
  const connection = new MutationObserver(() => unheard && tell());

  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("role", "button");
  svg.setAttribute("tabindex", "0");
  svg.setAttribute("aria-label", "Mark the place");
  svg.style.setProperty("--shape", `${width}/${height}`);
  const observer = new MutationObserver(lieOnPicture);
  observer.observe(document.body, { childList: true, subtree: true });
  connection.observe(app, { attributeFilter: ["data-test-connection-state"] });
  lieOnPicture();
  draw();
  if (brokenOff.has(data.id)) {
    change([...strokes, brokenOff.get(data.id)]);
    brokenOff.delete(data.id);
  }

  svg.addEventListener("pointerdown", (event) => {
    if (event.button || drawing) {
      return;
    }
    isByKeys = false;
    svg.setPointerCapture(event.pointerId);
    drawing = { id: event.pointerId, points: [at(event)] };
    draw();
  });
  svg.addEventListener("pointermove", (event) => {
    if (drawing?.id === event.pointerId) {
      drawing.points.push(...(event.getCoalescedEvents?.() ?? []).map(at), at(event));
      draw();
    }
  });
  svg.addEventListener("pointerup", (event) => {
    if (drawing?.id === event.pointerId) {
      const stroke = drawn();
      drawing = undefined;
      change([...strokes, stroke]);
    }
  });
  svg.addEventListener("pointercancel", () => {
    drawing = undefined;
    draw();
  });
  svg.addEventListener("blur", () => {
    isByKeys = true;
  });
  // What is drawn is no swipe to another attempt.
  svg.addEventListener("touchstart", (event) => event.stopPropagation());
  svg.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "z") {
      // The browser would take back what was typed last, wherever that was.
      event.preventDefault();
      undo();
    }
    if (event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    if (/^[1-9]$/.test(event.key) && isByKeys) {
      event.stopPropagation();
      toggle(Number(event.key));
    } else if (event.key === "Backspace") {
      undo();
    }
  });
  controls.onclick = ({ target }) => {
    if (target.dataset.field) {
      toggle(Number(target.dataset.field));
    } else if (target.dataset.do === "undo") {
      undo();
    } else if (target.dataset.do) {
      change([]);
    }
  };

  // The picture is written anew whenever another one is selected.
  function lieOnPicture() {
    const image = document.querySelector(`figure.picture > img[data-attempt^="${CSS.escape(data.id)} "]`);
    if (image && svg.parentElement !== image.parentElement) {
      image.after(svg);
    }
  }

  function at({ clientX, clientY }) {
    const { left, top, width: across, height: down } = svg.getBoundingClientRect();
    const x = Math.floor(((clientX - left) / across) * width);
    const y = Math.floor(((clientY - top) / down) * height);
    return [Math.min(Math.max(x, 0), width - 1), Math.min(Math.max(y, 0), height - 1)];
  }

  function drawn() {
    return closed(thinned(drawing.points, brush * STEP)).flat();
  }

  function closed(points) {
    const [[x, y], [endX, endY]] = [points[0], points.at(-1)];
    const farthest = Math.max(...points.map((point) => Math.hypot(point[0] - x, point[1] - y)));
    const isClosed = farthest > NEAR * brush && Math.hypot(endX - x, endY - y) <= NEAR * brush;
    return isClosed ? [...points, points[0]] : points;
  }

  function toggle(field) {
    const others = strokes.filter((stroke) => `${stroke}` !== `${outline(field)}`);
    change(others.length < strokes.length ? others : [...strokes, outline(field)]);
  }

  function outline(field) {
    const [left, top] = [(field - 1) % 3, Math.floor((field - 1) / 3)];
    const xs = [left, left + 1].map((third) => Math.min(Math.round((third * width) / 3), width - 1));
    const ys = [top, top + 1].map((third) => Math.min(Math.round((third * height) / 3), height - 1));
    return [xs[0], ys[0], xs[1], ys[0], xs[1], ys[1], xs[0], ys[1], xs[0], ys[0]];
  }

  // What the server would not take is not drawn either: what is marked must be what is seen.
  function change(now) {
    if (now.length <= data.most && JSON.stringify(now).length <= data.longest) {
      past.push([...strokes]);
      replace(now);
    }
    draw();
  }

  // After a reload the last stroke is the last step.
  function undo() {
    replace(past.pop() ?? strokes.slice(0, -1));
    draw();
  }

  function replace(now) {
    strokes.splice(0, strokes.length, ...now);
    tell();
  }

  function tell() {
    unheard = app.dataset.testConnectionState !== "CONNECTED";
    send(strokes);
  }

  function draw() {
    const all = drawing ? [...strokes, drawing.points.flat()] : strokes;
    svg.replaceChildren(...all.map(line));
    for (const button of controls.querySelectorAll("[data-do]")) {
      button.disabled = !strokes.length && !(past.length && button.dataset.do === "undo");
    }
    for (const button of controls.querySelectorAll("[data-field]")) {
      const its = `${outline(Number(button.dataset.field))}`;
      button.ariaPressed = String(strokes.some((stroke) => `${stroke}` === its));
    }
  }

  function line(stroke) {
    const shape = document.createElementNS(SVG, "polyline");
    const ends = stroke.slice(0, 2).join() === stroke.slice(-2).join();
    // A line of one point is none.
    shape.setAttribute("points", stroke.length > 2 ? stroke : [...stroke, ...stroke]);
    shape.setAttribute("stroke-width", brush);
    shape.classList.toggle("closed", ends && stroke.length > 6);
    return shape;
  }

  return {
    data,
    leave() {
      if (drawing) {
        brokenOff.set(data.id, drawn());
      }
      observer.disconnect();
      connection.disconnect();
      svg.remove();
    },
  };
}

// The ends stay as they are: they decide whether a stroke is closed.
function thinned(points, step) {
  const kept = [points[0]];
  for (const [x, y] of points) {
    const [lastX, lastY] = kept.at(-1);
    if (Math.hypot(x - lastX, y - lastY) >= step) {
      kept.push([x, y]);
    }
  }
  return `${kept.at(-1)}` === `${points.at(-1)}` ? kept : [...kept, points.at(-1)];
}
