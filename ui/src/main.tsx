import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Refused } from "./api/client";
import { App } from "./app";
import { begin } from "./login";
import "./styles.css";

void begin();
// A code that is put into the address of a page that is open already.
window.addEventListener("hashchange", () => {
  if (window.location.hash.startsWith("#login=")) void begin();
});
createRoot(document.getElementById("root")!, {
  // What the server refused is shown where it was asked; only our own mistakes belong into the console.
  onCaughtError: (error) => {
    if (!(error instanceof Refused)) console.error(error);
  },
}).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
