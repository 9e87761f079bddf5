// A main app's client, checked by tsc against the types that openapi-typescript makes of /openapi.json.

import createClient from "openapi-fetch";
import type { components, paths } from "./callgate";

type CallState = components["schemas"]["CallState"];

const api = createClient<paths>({ baseUrl: "https://gate.example.com", headers: { Authorization: "Bearer TOKEN" } });

/** Calls a client; a client who has opted out is called only if that was acknowledged. */
export async function call(clientId: string, to: string, acknowledgeUnrecorded: boolean): Promise<string> {
  const { data, error, response } = await api.POST("/api/calls", {
    params: { header: { "idempotency-key": crypto.randomUUID() } },
    body: { clientId, to, connectTo: "client:maria", acknowledgeUnrecorded },
  });
  if (error) {
    throw new Error(`${response.status} ${error.title}: ${error.detail} ${error.twilioCode ?? ""}`);
  }
  if (data.warning) {
    throw new Error(`${data.warning.message}, since ${data.warning.revokedAt ?? "some time"}`);
  }
  const told: "CONSENT_PENDING" | "CONNECTING" | null = data.status;
  return `${data.callId ?? "no call"} ${told}`;
}

/** What a screen shows of a call. */
export function shown(call: CallState): string {
  const since: string | null = call.consent.grantedAt;
  const pauses: string[] = call.recording.pauses.map((pause) => (pause.by.kind === "USER" ? pause.by.name : pause.by.kind));
  const last: number = call.recording.segments.at(-1)?.endMs ?? 0;
  switch (call.recording.state) {
    case "ACTIVE":
      return `recording since ${since}, ${call.recording.framesCaptured.inbound} frames, up to ${last} ms`;
    case "PAUSED":
      return `paused by ${pauses.join(", ")}`;
    case "NOT_STARTED":
    case "HALTED":
    case "FINISHED":
    case "DISCARDED":
    case "FAILED":
      return call.unrecordedReason ?? call.phase;
    default: {
      // A state that the document does not know does not compile.
      const never: never = call.recording.state;
      return never;
    }
  }
}

/** The client said no. */
export async function optOut(callId: string): Promise<CallState | undefined> {
  const { data } = await api.POST("/api/calls/{callId}/opt-out", { params: { path: { callId } }, body: { reason: "said so" } });
  return data;
}

/** What must not be recorded is over; what was held for another reason stays held. */
export async function resume(callId: string): Promise<CallState | undefined> {
  const { data } = await api.POST("/api/calls/{callId}/resume", { params: { path: { callId } }, body: { reason: "PAYMENT" } });
  return data;
}

/** Where a client stands. */
export async function standing(clientId: string): Promise<string> {
  const { data } = await api.GET("/api/clients/{clientId}/consent", { params: { path: { clientId } } });
  const newest = data?.history[0];
  return `${data?.recording.status ?? "unknown"} by ${newest?.actor ?? "nobody"}`;
}

/** How it goes, beside the targets. */
export async function figures(): Promise<number | null | undefined> {
  const { data } = await api.GET("/api/metrics/consent", { params: { query: { language: "es" } } });
  return data?.grantRate.value;
}

export async function misuse(): Promise<void> {
  // @ts-expect-error a call needs a client
  await api.POST("/api/calls", { body: { to: "+16175550123" } });
  // @ts-expect-error there is no such phase
  await api.GET("/api/calls", { params: { query: { phase: "ASLEEP" } } });
  // @ts-expect-error there is no such route
  await api.GET("/api/nothing");
}
