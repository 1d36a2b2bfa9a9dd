//! `cargo xtask docs`: writes the documents that are generated from the program's declarations.

use anyhow::Result;

use crate::workspace::Workspace;

/// The arguments of the hub that print a document, and its file in `docs/`.
const DOCUMENTS: [(&str, &str); 3] =
    [("reference", "configuration.md"), ("sample", "tidecast.sample.toml"), ("metrics", "metrics.md")];

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    for (document, file) in DOCUMENTS {
        let print = workspace.cargo(["run", "--quiet", "--locked", "--package", "tidecast-server", "--"]);
        let text = print.args(["document", document]).output()?.stdout;
        workspace.shell.write_file(workspace.root.join("docs").join(file), text)?;
    }
    Ok(())
}
