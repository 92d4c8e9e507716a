use super::*;
use clap::CommandFactory;
use clap::error::ErrorKind;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

#[test]
fn the_grammar_has_no_contradictions() {
    Cli::command().debug_assert();
}

#[test]
fn the_commands_of_the_tour_are_understood() {
    for line in [
        "rollcall serve --config a.toml --data-dir d --mqtt 127.0.0.1:1 --http 127.0.0.1:2 --device-http 127.0.0.1:3 --dev",
        "rollcall demo --robots 10 --ecus 2 --fail 1.5 --seed 7 --json",
        "rollcall robot add r1 --ecu main=hw-a,primary --ecu arm=hw-b --label site=a --label row=1",
        "rollcall robot add r1 --ecu main=hw-a,primary arm=hw-b",
        "rollcall robot rm r1 --yes",
        "rollcall robot credentials issue r1 --csr r1.csr",
        "rollcall robot credentials issue r1 --out keys",
        "rollcall robot credentials rotate r1 --yes",
        "rollcall pairing token add --name line-1 --expires 30days --uses 10",
        "rollcall pairing token rm line-1 -y",
        "rollcall ca show --json",
        "rollcall ca export --out ca.pem",
        "rollcall serve --mqtts off",
        "rollcall serve --websocket 127.0.0.1:9001",
        "rollcall robot history r1 --limit 5 --json",
        "rollcall group add g --robot r1 --robot r2",
        "rollcall group add g",
        "rollcall group add g --selector online==true",
        "rollcall group edit g --selector online==true",
        "rollcall group check online==true --robot r1",
        "rollcall group show g --robot r1",
        "rollcall robot add r1 --ecu a=b --tag canary night",
        "rollcall robot tag add r1 canary",
        "rollcall robot tag rm r1 canary night",
        "rollcall robot label set r1 site=a row=1",
        "rollcall robot label rm r1 site",
        "rollcall rollout preview --selector online==true --image hw-a=fw@1.0.0",
        "rollcall rollout edit 1 --selector online==true",
        "rollcall image add fw@1.0.0 --hardware hw-a hw-b --file fw.bin",
        "rollcall image add fw@1.0.0 --hardware hw-a,hw-b --url http://x/y --size 3 --sha256 00",
        "rollcall rollout create --name n --target group:g --image a=b@1 --force-downgrade",
        "rollcall rollout create --name n --target group:g --image a=b@1 --force-downgrade within-requirement",
        "rollcall rollout edit 1 --force-downgrade no",
        "rollcall image add fw@1.0.0 --hardware hw-a --file fw.bin --from-version >=1.0.0",
        "rollcall rollout preview --target group:g --image hw-a=fw@1.0.0",
        "rollcall rollout create --name n --target robots:r1,r2 --image hw-a=fw@1 --image hw-b=fw@2 --max-in-progress 3",
        "rollcall rollout edit 1 --max-in-progress 3",
        "rollcall rollout show 1 --robots",
        "rollcall rollout show 1 --toml",
        "rollcall rollout create --from spring.toml",
        "rollcall rollout create --from - --name spring",
        "rollcall rollout preview --from spring.toml --all",
        "rollcall rollout create --name n --target group:g --image a=b@1 --rate 10/min --max-failures 2.5% --retry network=3 busy=1",
        "rollcall rollout create --name n --target group:g --image a=b@1 --offline fail:10m --phase 10% group:g 5 rest --dynamic",
        "rollcall rollout create --name n --target group:g --image a=b@1 --start 2026-11-28T22:00:00+01:00 --deadline 2d",
        "rollcall rollout edit 1 --rate none --deadline 2d --revision 3",
        "rollcall rollout edit 1 --dynamic=false --phase none",
        "rollcall rollout edit 1 --zone Europe/Berlin",
        "rollcall rollout edit 1 --window none",
        "rollcall rollout pause 1",
        "rollcall rollout resume 1",
        "rollcall rollout stop 1 --yes",
        "rollcall rollout cancel 1 -y",
        "rollcall rollout approve 1",
        "rollcall rollout approve 1 2",
        "rollcall rollout launch 1 --accept-drift",
        "rollcall rollout why 1 r1",
        "rollcall --api http://127.0.0.1:1 --token t rollout watch 1",
    ] {
        if let Err(error) = parse(line) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_what_would() {
    for (line, says) in [
        (
            "rollcall rollout create --target group:g --image a=b@1",
            "--name",
        ),
        (
            "rollcall rollout create --from f --target group:g",
            "cannot be used",
        ),
        (
            "rollcall rollout create --from f --image a=b@1",
            "cannot be used",
        ),
        ("rollcall rollout show 1 --toml --json", "cannot be used"),
        ("rollcall rollout edit 1", "required"),
        ("rollcall rollout edit 1 --rate 0", "robots per minute"),
        ("rollcall rollout edit 1 --deadline 5", "90s, 15m"),
        ("rollcall rollout edit 1 --retry busy=11", "1 to 10 times"),
        (
            "rollcall rollout edit 1 --retry nothing=1",
            "the classes are network",
        ),
        ("rollcall rollout edit 1 --offline perhaps", "fail:10m"),
        ("rollcall rollout edit 1 --phase half", "group:NAME or rest"),
        ("rollcall rollout edit 1 --start tonight", "offset from UTC"),
        ("rollcall rollout edit 1 --max-failures 101", "0 to 100"),
        ("rollcall rollout approve 1 0", "1.."),
        ("rollcall rollout edit 1 --window 4h", "CRON=SPAN"),
        ("rollcall rollout edit 1 --zone Berlin", "Europe/Berlin"),
        ("rollcall robot add r1", "--ecu"),
        ("rollcall robot add r/1 --ecu a=b", "robot id"),
        ("rollcall robot add r1 --ecu a", "NAME=HARDWARE_ID"),
        ("rollcall robot add r1 --ecu a=b,first", "primary"),
        ("rollcall robot add r1 --ecu a=b --label x", "KEY=VALUE"),
        ("rollcall group add Gruppe", "group name"),
        ("rollcall group add g --selector online=true", "write `==`"),
        (
            "rollcall group add g --robot r1 --selector online==true",
            "cannot be used",
        ),
        ("rollcall group edit g", "--selector"),
        ("rollcall robot tag add r1", "<TAG>"),
        ("rollcall robot tag add r1 a*b", "tag"),
        ("rollcall robot label set r1 site", "KEY=VALUE"),
        (
            "rollcall rollout create --name n --target group:g --selector online==true --image a=b@1",
            "cannot be used",
        ),
        ("rollcall rollout create --name n --image a=b@1", "--target"),
        (
            "rollcall image add fw --hardware a --file f",
            "NAME@VERSION",
        ),
        ("rollcall image add fw@1 --hardware a", "--file"),
        (
            "rollcall image add fw@1 --hardware a --file f --from-version ^1.0.0",
            "version requirement not understood at column 1",
        ),
        (
            "rollcall rollout create --name n --target group:g --image a=b@1 --force-downgrade yes",
            "no scope",
        ),
        (
            "rollcall image add fw@1 --hardware a --url http://x",
            "--size",
        ),
        (
            "rollcall image add fw@1 --hardware a --file f --url http://x --size 1 --sha256 00",
            "cannot be used",
        ),
        (
            "rollcall rollout create --target group:g --image a=b@1",
            "--name",
        ),
        (
            "rollcall rollout create --name n --target all --image a=b@1",
            "group:NAME",
        ),
        (
            "rollcall rollout create --name n --target site:x --image a=b@1",
            "no kind of target",
        ),
        (
            "rollcall rollout create --name n --target group:g",
            "--image",
        ),
        (
            "rollcall rollout create --name n --target group:g --image a=b",
            "NAME@VERSION",
        ),
        ("rollcall rollout edit 1", "--name"),
        ("rollcall rollout show one", "invalid digit"),
        ("rollcall serve --mqtt here", "--mqtt"),
    ] {
        let error = parse(line).unwrap_err();
        assert_ne!(error.kind(), ErrorKind::DisplayHelp, "{line}");
        let text = error.to_string();
        assert!(text.contains(says), "{line}: {says:?} is not in {text}");
    }
}

#[test]
fn json_is_understood_before_and_after_the_command() {
    for line in [
        "rollcall --json robot ls",
        "rollcall robot --json ls",
        "rollcall robot ls --json",
    ] {
        assert!(parse(line).unwrap().global.json, "{line}");
    }
}
