// Pictures that are pasted or dropped anywhere go into the page's box for a person's own pictures,
// where there is one. What is on its way into it is waited for.

// What the server can use; the others have a sentence.
const TYPES = ["image/png", "image/jpeg", "image/webp"];
// Milliseconds for which a sentence stays, and after which no more answer comes: to what was asked
// before the last turn of the page, and to anything. A short turn may go unseen.
const TOLD = 8000;
const ANSWERED = 1000;
const UNANSWERED = 8000;

const BOX = "[data-testid=stFileUploader]";
const FRAME = "[data-testid=stFileUploaderDropzone]";
const CHIP = "[data-testid=stFileChip]";
const UNUSABLE = `${CHIP}[aria-invalid=true]`;
const USABLE = `${CHIP}:not([aria-invalid=true])`;
const AT_REST = "[data-test-script-state=notRunning]";
const ON_ITS_WAY = "[data-testid=stFileChipIconSpinner]";
// What asks for a picture that is made from those.
const ASKS = ":is([class*=st-key-Generate-Image-], [class*=st-key-Change-picture-]) button";

document.addEventListener("paste", (event) => {
  // Office programs copy words with a picture of them: in a box the words are meant.
  const words = event.clipboardData.types.includes("text/plain") && event.target.closest("input, textarea");
  if (!words) {
    take(event, event.clipboardData);
  }
});

// Everywhere, because a browser would leave the page for a file that is dropped on it.
document.addEventListener("dragover", (event) => {
  if (event.dataTransfer.types.includes("Files")) {
    event.preventDefault();
    document.body.classList.toggle("receiving", Boolean(input()));
  }
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) {
    document.body.classList.remove("receiving");
  }
});
// Also in place of the box itself, which would take what is in a folder: of that nothing is known
// here, and nothing would wait for it.
document.addEventListener("drop", (event) => {
  event.stopPropagation();
  event.target.dispatchEvent(new DragEvent("dragleave", { bubbles: true }));
  take(event, event.dataTransfer);
}, true);

function input() {
  // Streamlit says on the frame alone that a box rests.
  return document.querySelector(`${FRAME}:not([aria-disabled=true]) input`);
}

function take(event, { files }) {
  if (event.type === "drop") {
    event.preventDefault();
  }
  if (!files.length || !document.querySelector(FRAME)) {
    return;
  }
  if (!input()) {
    event.preventDefault();
    tell("resting");
    return;
  }
  event.preventDefault();
  const pictures = [...files].filter(({ type }) => TYPES.includes(type));
  if (pictures.length < files.length) {
    tell("unusable");
  }
  if (pictures.length) {
    give(pictures);
  }
}

function give(pictures) {
  const transfer = new DataTransfer();
  pictures.forEach((picture) => transfer.items.add(picture));
  input().files = transfer.files;
  input().dispatchEvent(new Event("change", { bubbles: true }));
}

function tell(id) {
  document.querySelector(".told")?.remove();
  const words = document.getElementById(id).content.firstElementChild.cloneNode(true);
  document.body.append(words);
  if (id !== "coming") {
    setTimeout(() => words.remove(), TOLD);
  }
}

// Streamlit forgets what is on its way to a box that is taken off the page, as when what came before
// has been taken; all of it is given to the next box again, so that it keeps its order. And what asks
// for a picture waits for it: the picture would be made without it.
let coming = [];
let box = null;
// Whether the server has heard of some of it, or of what came before: it takes the box off the page
// for that, and whether it will have heard of the others by then, nobody here can know.
let going = false;
// Whether the page has had a turn since something was given: it may have lost the server's answer to
// the box, which then never shows what it was given.
let turned = false;
let patience = 0;
// How many files the box shows once all that was given to it is there, and how many it cannot use.
let expected = 0;
let unusable = 0;
// What a click was made on that waits.
let held = "";

document.addEventListener("change", ({ target }) => {
  if (target.matches(`${FRAME} input`)) {
    expect(target, target.files);
  }
}, true);

function expect(place, files) {
  const now = place.closest(BOX);
  if (box !== now || !coming.length) {
    expected = now.querySelectorAll(CHIP).length;
    unusable = now.querySelectorAll(UNUSABLE).length;
    going = tells(now);
  }
  box = now;
  turned = false;
  waitAnew();
  expected += files.length;
  coming.push(...files);
  awaitAnswer();
}

// Streamlit tells the server of what is here whenever nothing is on its way.
function tells(place) {
  return Boolean(place.querySelector(USABLE)) && !place.querySelector(ON_ITS_WAY);
}

// Two may have one name: they are shown in the order in which they were given.
function fileOf(chip) {
  const chips = [...box.querySelectorAll(CHIP)].filter((one) => nameOf(one) === nameOf(chip));
  const files = coming.filter(({ name }) => name === nameOf(chip));
  return files.at(chips.indexOf(chip) - chips.length);
}

function nameOf(chip) {
  return chip.querySelector("[data-testid=stFileChipName]").title;
}

// Who takes one back waits for it no more; who starts over, for none.
document.addEventListener("click", ({ target }) => {
  const chip = target.closest("[data-testid=stFileChipDeleteBtn]")?.closest(CHIP);
  if (target.closest(".st-key-Start-Over")) {
    coming = [];
    letGo();
  } else if (chip && coming.length) {
    const file = fileOf(chip);
    coming = coming.filter((one) => one !== file);
    expected -= 1;
    letGo();
  }
}, true);

new MutationObserver(() => {
  if (!coming.length) {
    return;
  }
  if (!box.isConnected) {
    giveAgain();
  } else if (isAwaited()) {
    going ||= tells(box);
    awaitAnswer();
  } else if (!going && !box.querySelector(ON_ITS_WAY)) {
    coming = [];
    goOn();
  }
}).observe(document.body, {
  attributeFilter: ["aria-disabled", "data-test-script-state"],
  childList: true,
  subtree: true,
});

function isAwaited() {
  return box.querySelectorAll(CHIP).length < expected;
}

function awaitAnswer() {
  const rests = document.querySelector(AT_REST);
  if (!rests && !turned) {
    turned = true;
    waitAnew();
  }
  if (rests) {
    patience ||= setTimeout(() => {
      patience = 0;
      if (coming.length && isAwaited()) {
        giveAgain();
      }
    }, turned ? ANSWERED : UNANSWERED);
  }
}

function waitAnew() {
  clearTimeout(patience);
  patience = 0;
}

function giveAgain() {
  if (input()) {
    const again = coming;
    coming = [];
    give(again);
  } else {
    letGo();
  }
}

addEventListener("click", (event) => event.target.closest(ASKS) && hold(event), true);
addEventListener("keydown", (event) => {
  const { key, target, ctrlKey, metaKey } = event;
  const sends = key === "Enter" && (ctrlKey || metaKey) && !target.closest?.("[data-testid=stForm]");
  if (sends && document.querySelector(ASKS)) {
    hold(event);
  }
}, true);

function hold(event) {
  if (coming.length) {
    event.preventDefault();
    event.stopImmediatePropagation();
    if (!held) {
      held = aim();
      tell("coming");
    }
  }
}

// What a click would ask for: the name of the button has the id of a click, and says what it asks.
function aim() {
  const names = document.querySelector(ASKS)?.closest("[class*=st-key-]").classList ?? [];
  const name = [...names].find((one) => one.startsWith("st-key-"));
  const { attempt } = document.querySelector("figure.picture > img")?.dataset ?? {};
  return `${name} ${attempt} ${document.querySelector(".steps h1").textContent}`;
}

function letGo() {
  if (held) {
    held = "";
    document.querySelector(".told")?.remove();
  }
}

function goOn() {
  const waited = held;
  letGo();
  const failed = [...box.querySelectorAll(UNUSABLE)];
  // In words of the library that sends it, under those which say more.
  failed.forEach((one) => one.classList.toggle("failed", one.textContent.includes("AxiosError")));
  if (failed.length > unusable) {
    tell("missing");
  } else if (waited) {
    // After Streamlit has noted what came.
    setTimeout(() => ask(waited));
  }
}

function ask(waited) {
  // It takes what is typed once its box is left, as with a click of a person.
  document.activeElement.blur();
  const button = document.querySelector(ASKS);
  if (aim() === waited && button?.disabled === false) {
    button.click();
  } else {
    tell("gone");
  }
}
