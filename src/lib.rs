//! callgate: a consent gate for the live audio of a telephone call.
//!
//! A call's audio arrives as a Twilio media stream. callgate plays the recording-consent prompt into it, hears
//! the answer (a key, a key tone, or ten seconds of staying on the line), and lets audio into a recording
//! only while consent stands.
//!
//! ```text
//!   Twilio ──ws──▶ server/media ──▶ engine/call ── Admitted ──▶ io/spool ──▶ io/recording ──▶ io/objects
//!            ◀──── (one thread       (the pure        │             encrypted       sealed once      folder or S3
//!             prompt  owns a call)    machine)        │             on local disk   the call is over
//!                                        │ ▲          └ only the gate makes these ──▶ io/transcriber ──▶ engine/redact ──▶ transcripts
//!                              Seal grant│ │Receipt
//!                                        ▼ │
//!                                    io/database: ConsentRecord + AuditEvent, hash-chained, fsynced; Call + CallEvent
//!                                        │ in the same commit
//!                                        ▼
//!                      server/api/events (screens) · server/poster (main app) · server/notary (signed heads, copied out)
//! ```
//!
//! A no that the ledger does not take is kept until it does, on the disk as well, and is a no meanwhile: `server/noes`.
//! With `CALLGATE_TOPOLOGY=bridge` both people's legs come here and are joined (`server/bridge`, `engine/call/leg`).
//! Several gateways on one PostgreSQL database ask each other through it, and close what one of them leaves: `server/nodes`.
//!
//! Three layers, arrows one way, `main → server → io → engine`:
//!
//! * [`engine`] is pure: no tokio, clock, disk, environment or randomness. It builds alone
//!   (`cargo test --package callgate-types`), so the compiler keeps the world out.
//! * `io` is the world, one resource a folder, none knowing another: database, object store, spool, recognisers, prompts.
//! * `server` wires: the media socket, the driver of calls, the registry, the HTTP API, calls placed at Twilio. It decides nothing.
//! * `replay` is the load tester and the demo; it sees a gateway as Twilio and the main app do, from outside.
//!
//! # The promises
//!
//! Each is kept by the named test, which fails when the promise is broken (`tests/engine/tidy.rs` checks that it exists).
//!
//! | | promise | kept by |
//! |---|---|---|
//! | P1 | **No record, no recording.** No frame reaches a sink before the consent record that allows it is durable, nor later if it was said before then. | `p1_no_frame_is_captured_before_the_grant_is_durable` |
//! | P2 | **Decline wins.** In every race the outcome is the refusal. | `p2_decline_wins_every_race` |
//! | P3 | **The cut is at the finger, not at the message.** The last captured frame is the one before the key tone began; where only the `dtmf` event tells, the one before the delay line. | `p3_the_cut_falls_at_the_finger` |
//! | P4 | **Silence needs a listener.** A dead line, a machine, a muted or cleared prompt never grants. | `p4_silence_without_a_listener_never_grants` |
//! | P5 | **One gate for all.** Every sink hangs on the same gate; there is no second way in. | `p5_what_must_not_compile` |
//! | P6 | **Capture fails closed, the call fails open.** Whatever breaks on our side, the people go on talking, unrecorded, and a record says why. | `p6_when_the_ledger_fails_the_call_goes_on_unrecorded` |
//! | P7 | **The reader never waits.** No sink, disk, database or network holds up the socket; every queue has a named bound. | `p7_a_stuck_disk_never_holds_up_the_socket` |
//! | P8 | **Nothing captured is lost.** `kill -9` loses at most the last 500 ms of consented audio; nothing is deleted locally before the store has proven that it holds it. | `p8_kill_nine_loses_at_most_half_a_second` |
//! | P9 | **Deleted is gone.** What a revocation queued is deleted when it is due, spool, key and every version in the store; a fresh look proves it, and only then it is recorded. | `p9_deleted_is_gone` |
//! | P10 | **History cannot be edited unseen.** Consent records and audit events are append-only and hash-chained; the first broken link is named; signed checkpoints, copied out, show a cut tail and a history written anew. | `p10_every_edit_of_history_is_seen` |
//! | P11 | **What is not needed is not kept.** No audio, digits or transcript text in logs, errors, events, metrics or debug output. | `p11_no_digit_and_no_audio_in_any_output` |
//! | P12 | **Same input, same bytes.** The engine is deterministic; a call can be replayed from its inputs. | `p12_same_input_same_bytes` |

#![forbid(unsafe_code)]
#![warn(missing_docs, unused_qualifications)]
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::wildcard_enum_match_arm))]
#![warn(clippy::await_holding_lock, clippy::manual_let_else, clippy::use_self, clippy::redundant_clone, clippy::str_to_string)]
#![warn(clippy::needless_pass_by_value, clippy::unused_async, clippy::dbg_macro, clippy::todo)]

pub mod engine;
#[cfg(feature = "server")]
pub mod io;
#[cfg(feature = "server")]
pub mod replay;
#[cfg(feature = "server")]
pub mod server;
