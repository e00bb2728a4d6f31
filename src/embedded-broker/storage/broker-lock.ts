import { closeSync, fstatSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs'
import { resolve } from 'node:path'
import { ConfigError } from '../../core/errors.js'
import { DirectoryLock, type LockWords } from '../../core/files/directory-lock.js'
import { codeOf, messageOf } from '../../core/node-errors.js'
import { FILE_MODE } from './file-bytes.js'

/** On Windows and macOS `LOCK`, the name of the durable log's lock, would be the file of the process id. */
const SOCKET = 'lock.socket'
const CHECK_MS = 1_000
/** Codes of Node on file systems, and for paths, that cannot have a socket. */
const NO_SOCKETS: ReadonlySet<string | undefined> = new Set([
  'EACCES',
  'EINVAL',
  'ENOENT',
  'ENOTSUP',
  'EOPNOTSUPP',
  'EPERM'
])

/**
 * Directories that this process has locked. The pid in a lock file is not enough, because in a container a crashed
 * process may have had the same pid.
 */
const ours = new Set<string>()

const inUse = (directory: string, by: string): ConfigError =>
  new ConfigError(`${directory} is in use by ${by}; give the embedded broker another directory`)

/** A failure of Node passes as it is: the file of the process id may still be possible. */
const words: LockWords = {
  inUse: directory => inUse(directory, 'another process'),
  unusable: (_directory, error) => error as Error
}

/** Two ways to take a directory, and what is told of it. Tests have file systems without sockets. */
export interface LockDeps {
  readonly warn: (message: string) => void
  /** Another process has taken the directory: nothing may be written any more. Called once. */
  readonly onLost: () => void
  readonly takeSocket?: typeof DirectoryLock.take
}

/**
 * Keeps other brokers out of a directory, in two ways. A socket is seen by containers that share a volume, which do not see
 * each other's process ids. The file with the process id is what releases until 0.2 look at. Locks of processes that have
 * crashed are taken over. A broker of an old release in another container sees neither, and takes the file: the first
 * broker notices within a second.
 */
export class BrokerLock {
  readonly #path: string
  /** Open, so that no other file gets its inode. */
  readonly #descriptor: number
  readonly #socket: DirectoryLock | undefined
  readonly #watch: NodeJS.Timeout
  #onLost: (() => void) | undefined

  private constructor(path: string, descriptor: number, socket: DirectoryLock | undefined, onLost: () => void) {
    this.#path = path
    this.#descriptor = descriptor
    this.#socket = socket
    this.#onLost = onLost
    this.#watch = setInterval(() => {
      if (!this.#isThere()) this.lost()
    }, CHECK_MS).unref()
    ours.add(path)
  }

  /** @throws ConfigError when a live process has the directory */
  static async take(directory: string, deps: LockDeps): Promise<BrokerLock> {
    const path = resolve(directory, 'lock')
    refuseLiveHolder(path, directory)
    let lock: BrokerLock | undefined
    const socket = await takeSocket(directory, deps, () => lock?.lost())
    try {
      // It may have come while the socket was taken.
      refuseLiveHolder(path, directory)
      rmSync(path, { force: true })
      const descriptor = tryCreate(path)
      if (descriptor === undefined) throw inUse(directory, 'another process')
      lock = new BrokerLock(path, descriptor, socket, deps.onLost)
      return lock
    } catch (error) {
      socket?.release()
      throw error
    }
  }

  /** Tells it once. */
  lost(): void {
    const tell = this.#onLost
    this.#onLost = undefined
    tell?.()
  }

  release(): void {
    clearInterval(this.#watch)
    ours.delete(this.#path)
    if (this.#isThere()) rmSync(this.#path, { force: true })
    closeSync(this.#descriptor)
    this.#socket?.release()
  }

  #isThere(): boolean {
    return statSync(this.#path, { throwIfNoEntry: false })?.ino === fstatSync(this.#descriptor).ino
  }
}

async function takeSocket(directory: string, deps: LockDeps, onLost: () => void): Promise<DirectoryLock | undefined> {
  const { warn, takeSocket: take = (...args) => DirectoryLock.take(...args) } = deps
  try {
    return await take(directory, words, onLost, SOCKET)
  } catch (error) {
    if (process.platform !== 'win32' && !NO_SOCKETS.has(codeOf(error))) throw error
    warn(
      `no socket can be in ${directory} (${messageOf(error)}): a broker in another container would not be kept out of it`
    )
    return undefined
  }
}

function refuseLiveHolder(path: string, directory: string): void {
  const holder = Number(textOf(path))
  if (holder === process.pid ? ours.has(path) : isAlive(holder)) throw inUse(directory, `process ${holder}`)
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return ''
    throw error
  }
}

/** @returns a descriptor; `undefined`: another process has created it just now */
function tryCreate(path: string): number | undefined {
  try {
    const descriptor = openSync(path, 'wx', FILE_MODE)
    writeSync(descriptor, String(process.pid))
    return descriptor
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return undefined
    throw error
  }
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}
