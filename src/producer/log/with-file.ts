import type { LogDirectory, LogFile } from './files.js'

/** Runs `use` with an open file, which is closed whatever happens. */
export function withFile<T>(directory: LogDirectory, name: string, use: (file: LogFile) => T): T {
  const file = directory.open(name)
  try {
    return use(file)
  } finally {
    file.close()
  }
}
