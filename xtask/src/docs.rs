//! `cargo xtask docs`: writes the documents that are made from the program's own declarations.

use anyhow::Result;

use crate::workspace::Workspace;

/// What the hub prints, and the file of `docs/` that it goes into.
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
