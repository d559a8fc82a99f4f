/** Snapshots by REST. What is live comes by the stream, and is not kept here. */
import { QueryClient, useQuery } from "@tanstack/react-query";
import { api, got, Refused } from "./api/client";

export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 30_000,
      refetchOnWindowFocus: false,
      retry: (count, error) => !(error instanceof Refused && error.status < 500) && count < 2,
    },
  },
});

export function useProjects() {
  return useQuery({
    queryKey: ["projects"],
    queryFn: async () => (await got(api.GET("/api/v1/projects", { params: { query: { limit: 500 } } }))).items,
  });
}

export const taskQuery = (id: string) => ({
  queryKey: ["task", id],
  queryFn: () => got(api.GET("/api/v1/tasks/{id}", { params: { path: { id } } })),
});

export const runQuery = (id: string) => ({
  queryKey: ["run", id],
  queryFn: () => got(api.GET("/api/v1/runs/{id}", { params: { path: { id } } })),
});

export const changeQuery = (id: string) => ({
  queryKey: ["change", id],
  queryFn: () => got(api.GET("/api/v1/changes/{id}", { params: { path: { id } } })),
});

/** Open inquiries of a task, each with its whole effect. */
export const inquiriesQuery = (task: string) => ({
  queryKey: ["inquiries", task],
  queryFn: async () => {
    const listed = await got(api.GET("/api/v1/inquiries", { params: { query: { task, state: "open" as const, limit: 20 } } }));
    return Promise.all(
      listed.items.map(async (inquiry) =>
        inquiry.effect.cut ? got(api.GET("/api/v1/inquiries/{id}", { params: { path: { id: inquiry.id } } })) : inquiry,
      ),
    );
  },
});
