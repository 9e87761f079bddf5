//! E-mail addresses, written or said: "maria dot lopez at gmail dot com", "maría guion bajo uno arroba correo punto mx".

use super::Confidence;
use super::ahead::{Ahead, Found, More};
use super::entity::Entity;
use super::lexicon::{HOST_ENDS, HOSTS, is_common};
use super::rules::{Match, Scene};
use super::token::{Kind, Token};

/// Words before the "at".
pub const LOCAL_WORDS_MAX: usize = 24;
/// Of those, words that nothing joins: a first and a last name.
const LOOSE_WORDS_MAX: usize = 2;
/// Words of the host before its ending.
pub const HOST_WORDS_MAX: usize = 8;

pub(super) fn find(scene: &Scene<'_>) -> Found<Match> {
    let ahead = scene.ahead;
    let Some(first) = ahead.at(0)? else { return Ok(None) };
    if first.kind == Kind::Email {
        return Ok(Some(Match::new(Entity::Email, Confidence::Shape, 1)));
    }
    if !begins(ahead, first)? {
        return Ok(None);
    }
    let (mut at, mut loose) = (0, 0);
    while at < LOCAL_WORDS_MAX {
        let Some(held) = ahead.held(at)? else { return Ok(None) };
        let token = &held.token;
        if at > 0 && held.rested && !joins(token) && !ahead.is(at - 1, joins)? && token.letter().is_none() {
            return Ok(None);
        }
        let host_without_at = token.is_any(HOSTS) && ahead.is(at + 1, is_dot)?;
        if at > 0 && (token.is_any(&["at", "arroba"]) || host_without_at) {
            let host = at + usize::from(!host_without_at);
            return Ok(host_end(ahead, host)?.map(|end| Match::new(Entity::Email, Confidence::Shape, end)));
        }
        let joined = (at > 0 && ahead.is(at - 1, joins)?) || ahead.is(at + 1, joins)?;
        let spelled = token.letter().is_some() || token.may_be_numeric() || joins(token);
        if !spelled && !joined {
            loose += 1;
        }
        let filler = at > 0 && token.is_any(&["uh", "um", "er", "eh"]);
        let local = spelled || filler || joined || token.is_free() || matches!(token.kind, Kind::Mixed | Kind::Month(_));
        if !local || loose > LOOSE_WORDS_MAX || (token.pauses && !spelled && !joined) {
            return Ok(None);
        }
        at += 1;
    }
    Ok(None)
}

/// Whether a local part can begin here.
fn begins(ahead: Ahead<'_>, first: &Token) -> Result<bool, More> {
    if joins(first) || matches!(first.kind, Kind::Mark | Kind::Guarded) {
        return Ok(false);
    }
    // "mándelo a".
    if first.kind == Kind::Bridge && first.letter().is_some() && !ahead.is(1, |next| joins(next) || next.letter().is_some())? {
        return Ok(false);
    }
    if first.letter().is_some() || first.may_be_numeric() || matches!(first.kind, Kind::Mixed | Kind::Month(_)) {
        return Ok(true);
    }
    Ok(first.is_free() || ((is_common(&first.folded) || first.kind == Kind::Bridge) && ahead.is(1, joins)?))
}

fn joins(token: &Token) -> bool {
    token.is_any(&["dot", "punto", "underscore", "dash", "hyphen", "guion", "point", "period", "bajo", "plus", "minus"])
}

fn is_dot(token: &Token) -> bool {
    token.is_any(&["dot", "punto", "point", "period"])
}

/// Where the host that begins at `from` ends, if it is one.
fn host_end(ahead: Ahead<'_>, from: usize) -> Found<usize> {
    for at in from..from + HOST_WORDS_MAX {
        let Some(token) = ahead.at(at)? else { return Ok(None) };
        let written = token.folded.rsplit_once('.').is_some_and(|(_, end)| HOST_ENDS.contains(&end));
        let ends_here = is_dot(token) && at > from && ahead.is(at + 1, |next| next.is_any(HOST_ENDS))?;
        let known = token.is_any(HOSTS) && !ahead.is(at + 1, is_dot)?;
        if written || ends_here || known {
            let mut end = at + if ends_here { 2 } else { 1 };
            while ahead.is(end, is_dot)? && ahead.is(end + 1, |next| next.is_any(HOST_ENDS))? {
                end += 2;
            }
            return Ok(Some(end));
        }
        if token.pauses && token.letter().is_none() {
            return Ok(None);
        }
    }
    Ok(None)
}
