import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * A temporary directory and the processes that live in it. When this process ends, in whatever way, its janitor (a
 * shell waiting for the end of its input) kills what is left and removes the directory; `close` does the same earlier.
 */
export class Workspace {
  readonly directory = mkdtempSync(join(tmpdir(), 'castellan-kafka-'))
  readonly #children = new Set<ChildProcess>()
  readonly #janitor: ChildProcess

  constructor() {
    const clean = 'cat >/dev/null; for f in "$1"/*.pid; do [ -f "$f" ] && kill -9 "$(cat "$f")" 2>/dev/null; done; '
    this.#janitor = spawn('sh', ['-c', `${clean} sleep 0.2; rm -rf "$1"`, 'janitor', this.directory], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true
    })
    this.#janitor.unref()
    ;(this.#janitor.stdin as unknown as { unref(): void }).unref()
  }

  path(name: string): string {
    return join(this.directory, name)
  }

  /**
   * Starts a program in a process group of its own, so that a Ctrl-C in the terminal reaches us alone. What it writes
   * to stdout and stderr is appended to `<name>.log`, unless `options.stdio` says otherwise.
   */
  start(name: string, program: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const log = openSync(this.path(`${name}.log`), 'a')
    const child = spawn(program, args, { stdio: ['ignore', log, log], detached: true, cwd: this.directory, ...options })
    closeSync(log)
    const pidFile = this.path(`${name}.pid`)
    if (child.pid !== undefined) writeFileSync(pidFile, String(child.pid))
    this.#children.add(child)
    child.once('exit', () => {
      this.#children.delete(child)
      // Emptied before anything else can get this process id; the janitor kills by these files.
      if (!this.#restartedAs(name, child)) writeIfPresent(pidFile)
    })
    this.#latest.set(name, child)
    return child
  }

  readonly #latest = new Map<string, ChildProcess>()
  #restartedAs(name: string, child: ChildProcess): boolean {
    return this.#latest.get(name) !== child
  }

  /** Kills what still runs, waits for it and removes the directory. */
  async close(): Promise<void> {
    await Promise.all([...this.#children].map(child => kill(child, 'SIGKILL')))
    await rm(this.directory, { recursive: true, force: true, maxRetries: 5 })
    this.#janitor.stdin?.end()
  }
}

function writeIfPresent(pidFile: string): void {
  try {
    writeFileSync(pidFile, '')
  } catch {
    // The directory is gone already: nobody will read the file.
  }
}

/** Sends a signal and resolves when the process has ended. */
export function kill(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise(resolve => {
    child.once('exit', () => resolve())
    child.kill(signal)
  })
}
