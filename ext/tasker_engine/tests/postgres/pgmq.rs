//! PGMQ's SQL lies beside ours, and is what PGMQ's own crate installs: of each version that Cargo.lock names.

use sqlx::postgres::PgPoolOptions;
use tasker_engine::bootstrap::Engine;
use tokio::runtime::Builder;

use crate::harness::config;
use crate::harness::postgres::Database;

const INSTALLED: [&str; 3] = [
    "SELECT string_agg(pg_get_functiondef(p.oid), E'\\n' ORDER BY p.oid::regprocedure::text) FROM pg_proc p \
     WHERE p.pronamespace = 'pgmq'::regnamespace AND p.prokind = 'f'",
    "SELECT string_agg(concat_ws(' ', table_name, column_name, data_type, column_default, is_nullable), E'\\n' \
     ORDER BY table_name, ordinal_position) FROM information_schema.columns WHERE table_schema = 'pgmq'",
    "SELECT string_agg(concat_ws(' ', name, version), ',') FROM pgmq.__pgmq_migrations",
];

#[test]
fn it_is_installed_as_its_own_crate_installs_it() {
    let (Some(ours), Some(theirs)) = (Database::new(), Database::new()) else { return };
    Engine::open(&config(&ours.url())).unwrap().close();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let pool = PgPoolOptions::new().max_connections(1).connect(&theirs.url()).await.unwrap();
        pgmq::install::install_sql_from_embedded(&pool).await.unwrap();
        pool.close().await;
    });
    for what in INSTALLED {
        let installed = ours.sql(what);
        assert!(!installed.is_empty());
        assert_eq!(installed, theirs.sql(what));
    }
}
