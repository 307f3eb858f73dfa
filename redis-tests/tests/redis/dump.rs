//! T37: what a copy of the database reveals.

use redis::AsyncTypedCommands;
use tower_step_up::StepUp;

use crate::{life::whole_life, server::Server};

/// Every key and value, as read and as dumped.
async fn dump(server: &Server) -> Vec<Vec<u8>> {
    let client = redis::Client::open(server.address()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut copies = Vec::new();
    let mut cursor = 0_u64;
    loop {
        let (next, names): (_, Vec<Vec<u8>>) =
            redis::cmd("SCAN").arg(cursor).arg("COUNT").arg(1000).query_async(&mut connection).await.unwrap();
        for name in names {
            let kind = connection.key_type(&name).await.unwrap();
            assert_eq!(format!("{kind:?}"), "String", "only strings are expected");
            for command in ["GET", "DUMP"] {
                copies.push(redis::cmd(command).arg(&name).query_async(&mut connection).await.unwrap());
            }
            copies.push(name);
        }
        cursor = next;
        if cursor == 0 {
            return copies;
        }
    }
}

#[tokio::test]
async fn a_dump_reveals_neither_recipients_nor_sessions_nor_operations() {
    let server = Server::start();
    // Values are not compressed, so that the output of DUMP can be searched.
    assert_eq!(server.say(&["CONFIG", "SET", "rdbcompression", "no"]), "+OK\r\n");
    whole_life(StepUp::builder().store(server.store()), async |step, traces| {
        let copies = dump(&server).await;
        assert!(copies.len() >= 9, "{step}: the user's record, a recipient's and a session's");
        let found = traces.found_in(copies.iter().map(Vec::as_slice));
        assert!(found.is_empty(), "{step}: {found:?}");
    })
    .await;
}
