// Pictures that are pasted or dropped anywhere go into the page's box for a person's own pictures,
// where there is one. What is on its way into it is waited for.

// What the server can use; the others have a sentence.
const TYPES = ["image/png", "image/jpeg", "image/webp"];
// Milliseconds for which a sentence stays.
const TOLD = 8000;

const BOX = "[data-testid=stFileUploader]";
const FRAME = "[data-testid=stFileUploaderDropzone]";
const CHIP = "[data-testid=stFileChip]";
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
document.addEventListener("drop", (event) => {
  document.body.classList.remove("receiving");
  // What falls into the box itself it takes by itself.
  const frame = event.target.closest(`${FRAME}:not([aria-disabled=true])`);
  if (frame) {
    expect(frame, event.dataTransfer.files);
  } else {
    take(event, event.dataTransfer);
  }
});

function input() {
  // Streamlit says on the frame alone that a box rests.
  return document.querySelector(`${FRAME}:not([aria-disabled=true]) input`);
}

function take(event, { files }) {
  if (event.type === "drop") {
    event.preventDefault();
  }
  if (!files.length || !input()) {
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
// has been taken; it is given to the next box again. And what asks for a picture waits for it: the
// picture would be made without it.
let coming = [];
let box = null;
// How many files the box shows once all that was given to it is there.
let expected = 0;
let isHeld = false;

document.addEventListener("change", ({ target }) => {
  if (target.matches(`${FRAME} input`)) {
    expect(target, target.files);
  }
}, true);

function expect(place, files) {
  const now = place.closest(BOX);
  if (box !== now || !coming.length) {
    expected = now.querySelectorAll(CHIP).length;
  }
  box = now;
  expected += files.length;
  coming.push(...files);
}

// Who takes one back waits for it no more.
document.addEventListener("click", ({ target }) => {
  const chip = target.closest("[data-testid=stFileChipDeleteBtn]")?.closest(CHIP);
  const { title } = chip?.querySelector("[data-testid=stFileChipName]") ?? {};
  const place = coming.findIndex(({ name }) => name === title);
  if (place >= 0) {
    coming.splice(place, 1);
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
  } else if (box.querySelectorAll(CHIP).length >= expected && !box.querySelector(ON_ITS_WAY)) {
    coming = [];
    if (isHeld) {
      goOn();
    }
  }
}).observe(document.body, { attributeFilter: ["aria-disabled"], childList: true, subtree: true });

function giveAgain() {
  if (input()) {
    const again = coming;
    coming = [];
    give(again);
  } else if (isHeld) {
    letGo();
  }
}

addEventListener("click", (event) => event.target.closest(ASKS) && hold(event), true);
addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && document.querySelector(ASKS)) {
    hold(event);
  }
}, true);

function hold(event) {
  if (coming.length) {
    event.preventDefault();
    event.stopImmediatePropagation();
    if (!isHeld) {
      isHeld = true;
      tell("coming");
    }
  }
}

function letGo() {
  if (isHeld) {
    isHeld = false;
    document.querySelector(".told")?.remove();
  }
}

function goOn() {
  letGo();
  if (box.querySelector(`${CHIP}[aria-invalid=true]`)) {
    tell("missing");
    return;
  }
  // After Streamlit has noted what came.
  setTimeout(() => {
    // It takes what is typed once its box is left, as with a click of a person.
    document.activeElement.blur();
    document.querySelector(ASKS)?.click();
  });
}
