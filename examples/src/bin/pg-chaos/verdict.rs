//! Compares the database with the clients' lists.

use std::collections::BTreeMap;

use crate::Result;
use crate::client::Ledger;
use crate::direct::Database;

/// Number of differences that the error text shows.
const SHOWN: usize = 10;

/// SQL query that returns three numbers for each key: the number of rows, the number of distinct values in the column `row`, and the number
/// of rows with a wrong text. The expression `repeat(…)` computes the right text, as `Transaction::body` does.
const KEYS: &str = "SELECT client, key, count(*), count(DISTINCT row), count(*) FILTER (WHERE body <> \
                    repeat((client::bigint * 1000003 + key * 1009 + row)::text || ',', 1 + (key % 40)::int)) \
                    FROM chaos_rows GROUP BY client, key";

/// Checks that each transaction in the lists is exactly once in the database of its client's server, with all of its rows, and that the
/// databases contain no other transaction.
pub(crate) async fn check(databases: &[Database], ledgers: &[(usize, Ledger)]) -> Result<()> {
    let mut differences = Vec::new();
    for (server, database) in databases.iter().enumerate() {
        let mut found = BTreeMap::new();
        for row in database.sql(KEYS).await? {
            let numbers: Vec<i64> =
                row.iter().map(|number| number.parse()).collect::<std::result::Result<_, _>>()?;
            let &[client, key, rows, distinct, wrong] = &numbers[..] else {
                return Err("a row of the result does not have five columns".into());
            };
            found.insert((client, key), (rows, distinct, wrong));
        }
        let ours = ledgers.iter().filter(|(of, _)| *of == server).map(|(_, ledger)| ledger);
        for ledger in ours {
            for &(key, rows) in &ledger.keys {
                let (client, rows) = (i64::from(ledger.client), i64::from(rows));
                let difference = match found.remove(&(client, key)) {
                    None => "is lost".to_owned(),
                    Some(counts) if counts == (rows, rows, 0) => continue,
                    Some((count, distinct, wrong)) => {
                        format!(
                            "has {count} rows, {distinct} of them different and {wrong} wrong, instead of {rows}"
                        )
                    }
                };
                differences.push(format!("server {server}, client {client}, key {key} {difference}"));
            }
        }
        let unexpected = found.keys().map(|(client, key)| {
            format!("server {server}, client {client}, key {key} is in the table, but its client does not know of it")
        });
        differences.extend(unexpected);
    }
    if differences.is_empty() {
        return Ok(());
    }
    let count = differences.len();
    differences.truncate(SHOWN);
    Err(format!("{count} differences:\n{}", differences.join("\n")).into())
}
