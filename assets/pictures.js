// What the page's pictures do beyond being there. The page writes each as a <figure>, which shows a
// version for the screen; what changes is written anew.

// Milliseconds in which the page gets all that a person decides by, before it gets an original.
const REST = 300;

// Milliseconds before a picture that has not come is asked for again.
const PAUSES = [1000, 3000, 9000];
const tries = new WeakMap();
const OWN = "img[data-attempt]";

// Milliseconds in which what changes together is said together.
const BREATH = 300;

const corner = document.getElementById("corner").content;

// For who hears the page, and not sees it: a place that stays, because a new one is often not read.
const spoken = document.createElement("p");
spoken.role = "status";
spoken.className = "spoken";
document.body.append(spoken);
let breath = 0;
let said = {};

new MutationObserver((changes) => {
  for (const { addedNodes, removedNodes } of changes) {
    const before = figuresIn(removedNodes);
    before.forEach(leave);
    figuresIn(addedNodes).forEach((figure) => enter(figure, before[0]));
  }
  breath ||= setTimeout(speak, BREATH);
}).observe(document.body, { childList: true, subtree: true });
document.querySelectorAll("figure").forEach((figure) => enter(figure));

function figuresIn(nodes) {
  const elements = [...nodes].filter((node) => node instanceof Element);
  return elements.flatMap((one) => [...(one.matches("figure") ? [one] : one.querySelectorAll("figure"))]);
}

function enter(figure, before) {
  const image = figure.firstElementChild;
  // A draft is on the screen until what follows it is there; anything else makes room at once:
  // whoever decides must not see another picture than the one that they decide about.
  if (before && !figure.matches(".idle")) {
    const draft = before.matches(".draft") && `url("${before.firstElementChild.src}")`;
    figure.style.backgroundImage = draft || before.style.backgroundImage;
  }
  if (!figure.matches(".picture")) {
    return;
  }
  figure.append(corner.cloneNode(true));
  const shown = () => {
    figure.style.backgroundImage = "";
    setTimeout(bring, REST, figure);
  };
  if (image.complete) {
    shown();
  } else {
    image.onload = image.onerror = shown;
  }
}

// What was on its way is wanted no more, and must not take the line from what is.
function leave(figure) {
  if (figure.original) {
    figure.original.src = "";
  }
}

async function bring(figure) {
  if (!figure.isConnected) {
    return;
  }
  const image = figure.firstElementChild;
  const original = new Image();
  figure.original = original;
  original.src = image.src.replace(/\/screen$/, "");
  await original.decode().catch(() => {});
  if (!figure.isConnected || !original.naturalWidth) {
    return;
  }
  image.onload = image.onerror = null;
  image.src = original.src;
}

// A line that was away for a moment must not leave a decision without its picture.
document.addEventListener("error", ({ target }) => {
  const tried = tries.get(target) ?? 0;
  if (target.matches?.(OWN) && tried < PAUSES.length) {
    tries.set(target, tried + 1);
    setTimeout(askAgain, PAUSES[tried], target);
  }
}, true);
addEventListener("online", () => document.querySelectorAll(OWN).forEach(askAgain));

function askAgain(image) {
  if (image.isConnected && image.complete && !image.naturalWidth) {
    image.src = image.src;
  }
}

// Of what has come its number and its words; of a step its heading.
function speak() {
  breath = 0;
  const image = document.querySelector("figure.picture > img");
  const heading = document.querySelector(".steps h1")?.textContent ?? said.heading;
  const attempt = image?.dataset.attempt ?? said.attempt;
  const news = [];
  if (heading !== said.heading) {
    news.push(heading);
  }
  if (attempt !== said.attempt) {
    news.push(`Picture ${attempt.split(" ")[1]}: ${image.alt}`);
  }
  said = { heading, attempt };
  if (news.length) {
    spoken.textContent = news.join(". ");
  }
}
