import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app";
import { begin } from "./login";
import "./styles.css";

void begin();
// A code that is put into the address of a page that is open already.
window.addEventListener("hashchange", () => {
  if (window.location.hash.startsWith("#login=")) void begin();
});
createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
