// Pictures that are pasted or dropped anywhere go into the page's box for a person's own pictures,
// where there is one.

// What the server can use; the others have a sentence.
const TYPES = ["image/png", "image/jpeg", "image/webp"];
// Milliseconds for which the sentence stays.
const TOLD = 8000;

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
    document.body.classList.toggle("receiving", Boolean(box()));
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
  if (!event.target.closest("[data-testid=stFileUploaderDropzone]")) {
    take(event, event.dataTransfer);
  }
});

function box() {
  // Streamlit says on the frame alone that a box rests.
  return document.querySelector("[data-testid=stFileUploaderDropzone]:not([aria-disabled=true]) input");
}

function take(event, { files }) {
  if (event.type === "drop") {
    event.preventDefault();
  }
  if (!files.length || !box()) {
    return;
  }
  event.preventDefault();
  const pictures = [...files].filter(({ type }) => TYPES.includes(type));
  if (pictures.length < files.length) {
    tell();
  }
  if (!pictures.length) {
    return;
  }
  const transfer = new DataTransfer();
  pictures.forEach((picture) => transfer.items.add(picture));
  box().files = transfer.files;
  box().dispatchEvent(new Event("change", { bubbles: true }));
}

function tell() {
  document.querySelector(".unusable")?.remove();
  const words = document.getElementById("unusable").content.firstElementChild.cloneNode(true);
  document.body.append(words);
  setTimeout(() => words.remove(), TOLD);
}
