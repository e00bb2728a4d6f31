/**
 * A decided test gives the same run on any machine, however busy: it opens no real socket and starts no process or thread.
 * Here these throw, and fail the test that tried, in every file that is not named `*.socket.test.ts`, `*.system.test.ts` or `*.explore.test.ts`.
 * What stays possible: `inject`, worlds of `test/runs/simulation`, whose network takes the place of `node:net`, and files on disk.
 * No test at all reads the durable log of the working folder: a gateway that was started there may have left one.
 *
 * Mocha loads this first (`.mocharc.json`). test/project/decided.test.ts looks for sleeps and clocks.
 */
import childProcess, { ChildProcess } from 'node:child_process'
import { Socket as DatagramSocket } from 'node:dgram'
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { Server, Socket } from 'node:net'
import { relative, resolve } from 'node:path'
import threads from 'node:worker_threads'
import Mocha from 'mocha'
import { isDecided, running } from './running-test.js'

const tried = new Set<string>()
const LOG_OF_FOLDER = resolve('castellan-data')

function refuseLogOfFolder(path: unknown): void {
  if (typeof path !== 'string' || !path.includes('castellan-data') || !resolve(path).startsWith(LOG_OF_FOLDER)) return
  const told = `the log of the working folder, read in ${relative('.', running.file)}: set wal.directory to walDirectoryOf()`
  tried.add(told)
  throw new Error(told)
}

function refuse(what: string): void {
  if (!isDecided()) return
  const told = `${what} in ${relative('.', running.file)}, a decided test: use inject(), inWorld() or what is given to the code under test; else name it *.socket.test.ts`
  tried.add(told)
  throw new Error(told)
}

function guard(target: object, method: string, what: string | ((first: unknown) => void)): void {
  const methods = target as Record<string, (...args: unknown[]) => unknown>
  const original = methods[method]!
  methods[method] = function guarded(this: unknown, ...args) {
    if (typeof what === 'string') refuse(what)
    else what(args[0])
    return original.apply(this, args)
  }
}

guard(Server.prototype, 'listen', 'a real server')
guard(Socket.prototype, 'connect', 'a real connection')
guard(DatagramSocket.prototype, 'bind', 'a real datagram socket')
guard(DatagramSocket.prototype, 'send', 'a real datagram')
guard(ChildProcess.prototype, 'spawn', 'a process')
for (const method of ['spawnSync', 'execSync', 'execFileSync']) guard(childProcess, method, 'a process')
for (const method of ['readdirSync', 'readFileSync', 'openSync', 'mkdirSync']) guard(fs, method, refuseLogOfFolder)
threads.Worker = class GuardedWorker extends threads.Worker {
  constructor(...args: ConstructorParameters<typeof threads.Worker>) {
    // The compiler of a source that is first imported in a test, and is not in its cache.
    if (!/[\\/]esbuild[\\/]/.test(String(args[0]))) refuse('a thread')
    super(...args)
  }
}
syncBuiltinESMExports()

const run = Mocha.Runnable.prototype.run
Mocha.Runnable.prototype.run = function runIn(...args) {
  running.file = this.file ?? this.parent?.file ?? running.file
  return run.apply(this, args)
}

/** What the code under test has caught fails the test as well. */
export const mochaHooks = {
  afterAll() {
    const all = [...tried].join('\n')
    tried.clear()
    if (all !== '') throw new Error(all)
  }
}
