import { QueryClientProvider } from "@tanstack/react-query";
import { createRootRoute, createRoute, createRouter, Outlet, redirect, RouterProvider } from "@tanstack/react-router";
import { api, got } from "./api/client";
import { look } from "./login";
import { Login } from "./pages/login";
import { TaskPage, type TaskSearch } from "./pages/task";
import { STATUSES, Tasks, type TasksSearch } from "./pages/tasks";
import { Failure, Shell } from "./parts/shell";
import { queries } from "./queries";
import { useSession } from "./session";

const root = createRootRoute({
  component: () => (
    <Shell>
      <Outlet />
    </Shell>
  ),
  notFoundComponent: () => <h1 className="p-4 text-lg">There is no such page.</h1>,
});

const tasks = createRoute({
  getParentRoute: () => root,
  path: "/",
  validateSearch: ({ status, project }: Record<string, unknown>): TasksSearch => ({
    ...(STATUSES.includes(status as never) && { status: status as (typeof STATUSES)[number] }),
    ...(typeof project === "string" && { project }),
  }),
  component: Tasks,
});

const task = createRoute({
  getParentRoute: () => root,
  path: "/tasks/$id",
  validateSearch: ({ tab }: Record<string, unknown>): TaskSearch => (tab === "changes" ? { tab } : {}),
  component: TaskPage,
});

/** The address of a run leads to its task. */
const run = createRoute({
  getParentRoute: () => root,
  path: "/runs/$id",
  loader: async ({ params: { id } }) => {
    const found = await got(api.GET("/api/v1/runs/{id}", { params: { path: { id } } }));
    throw redirect({ to: "/tasks/$id", params: { id: found.task_id }, replace: true });
  },
});

const router = createRouter({
  routeTree: root.addChildren([tasks, task, run]),
  scrollRestoration: false,
  defaultErrorComponent: ({ error, reset }) => <Failure error={error} retry={reset} />,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}

export function App() {
  const session = useSession();
  switch (session.is) {
    case "checking":
      return null;
    case "out":
      return <Login failed={session.failed} />;
    case "unreachable":
      return (
        <main>
          <Failure error={session.failed} retry={() => void look("")} />
        </main>
      );
    case "in":
      return (
        <QueryClientProvider client={queries}>
          <RouterProvider router={router} />
        </QueryClientProvider>
      );
  }
}
