//! Who goes first when cores are scarce: the threads that own calls, and those of the door, for a client's no comes through it.
//! Everything else gives way.

/// How far behind a giving thread stands, as `nice` counts.
const BEHIND: i32 = 10;

/// The calling thread, and those that it will start, give way to those that own calls or serve the door: frames come every 20 ms and
/// do not wait, while a commit or an upload can. It cannot be taken back.
pub fn give_way() {
    // On Linux this is the thread's own, not the process's. A system that refuses leaves all as they were.
    if let Err(why) = rustix::process::setpriority_process(None, BEHIND) {
        tracing::debug!(error = %why, "priority: a thread cannot give way");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_thread_gives_way_and_others_do_not() {
        let mine = || rustix::process::getpriority_process(None).unwrap();
        let before = mine();
        let theirs = std::thread::spawn(move || {
            super::give_way();
            (mine(), std::thread::spawn(mine).join().unwrap())
        });
        assert_eq!(theirs.join().unwrap(), (super::BEHIND, super::BEHIND), "and what it starts");
        assert_eq!(mine(), before);
    }
}
