// The scenario files under a directory.

import { readdirSync } from "node:fs";
import { join, relative, sep } from "node:path";

/** All scenarios under a directory, by path. */
export function scenarioFiles(directory) {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".json"))
    .map((entry) =>
      relative(directory, join(entry.parentPath ?? entry.path, entry.name))
        .split(sep)
        .join("/"),
    )
    .sort();
}
