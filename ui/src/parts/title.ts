import { useEffect } from "react";

/** Of the tab and of the browser's history. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Podium`;
    return () => {
      document.title = "Podium";
    };
  }, [title]);
}
