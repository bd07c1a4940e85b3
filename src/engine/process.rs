//! Whether the program behind a run still lives, where it ran on this machine: a killed one need not
//! be waited for.

use std::fs;

/// Who this process is: the boot of its machine, its namespace of processes, its number and its
/// start. `None` where the system does not say.
pub(super) fn identity() -> Option<String> {
    identity_of(std::process::id())
}

/// Whether that process is known to be gone: it was one of this machine's boot and namespace, and
/// there is no such process any more.
pub(super) fn is_gone(identity: &str) -> bool {
    let Some(own) = identity_of(std::process::id()) else {
        return false;
    };
    let parts: Vec<&str> = identity.split(' ').collect();
    let own: Vec<&str> = own.split(' ').collect();
    let ([boot, space, number, _], [own_boot, own_space, ..]) = (&parts[..], &own[..]) else {
        return false;
    };
    let Ok(number) = number.parse() else {
        return false;
    };
    boot == own_boot && space == own_space && identity_of(number).as_deref() != Some(identity)
}

/// The machine's name, for people.
pub(super) fn machine() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

fn identity_of(number: u32) -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let space = fs::read_link("/proc/self/ns/pid").ok()?;
    let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    // The name in parentheses may hold anything; the start is the twentieth field after it (proc(5))
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let (state, start) = (fields.first()?, fields.get(19)?);
    if matches!(*state, "Z" | "X") {
        return None;
    }
    Some(format!(
        "{} {} {number} {start}",
        boot.trim(),
        space.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_ended_is_gone_and_one_that_lives_or_is_elsewhere_is_not() {
        let own = identity().unwrap();
        assert!(!is_gone(&own));
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let theirs = identity_of(child.id()).unwrap();
        assert!(!is_gone(&theirs));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_gone(&theirs));
        let elsewhere = theirs.replacen(theirs.split(' ').next().unwrap(), "another-boot", 1);
        assert!(!is_gone(&elsewhere) && !is_gone("") && !is_gone("a b c d"));
    }
}
