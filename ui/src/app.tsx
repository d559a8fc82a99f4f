import { Login } from "./pages/login";
import { useSession } from "./session";

export function App() {
  const session = useSession();
  if (session.is === "out") return <Login failed={session.failed} />;
  return <main>{session.is}</main>;
}
