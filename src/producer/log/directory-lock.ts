import { randomBytes } from 'node:crypto'
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  statSync,
  unlinkSync
} from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { basename, dirname, join } from 'node:path'
import { foreignTexts } from '../../core/foreign-texts.js'
import { codeOf, messageOf } from '../../core/node-errors.js'
import { LogUnusableError } from './availability.js'
import { tryTo } from './files.js'

const LOCK = 'LOCK'
const MAX_SOCKET_PATH_BYTES = 107
const SETTLE_MS = 30
const CHECK_MS = 1_000
/** Errors that prove that no process listens on a socket. */
const DEAD: ReadonlySet<string | undefined> = new Set(['ECONNREFUSED', 'ENOENT', 'ENOTDIR', 'ENOTSOCK'])

/**
 * Makes this process the only owner of a directory. The lock is a Unix socket that the owner listens on, linked to the
 * name `LOCK`. The kernel closes the socket when the process ends, however it ends. Unlike a process id, a socket also
 * tells apart two containers that are both process 1. A socket that no process listens on was left by a dead owner, and
 * is taken over.
 */
export class DirectoryLock {
  readonly #server: Server
  readonly #path: string
  readonly #inode: number
  readonly #watch: NodeJS.Timeout

  private constructor(server: Server, path: string, inode: number, onLost: () => void) {
    this.#server = server
    this.#path = path
    this.#inode = inode
    this.#watch = setInterval(() => {
      if (inodeOf(path) !== inode) onLost()
    }, CHECK_MS)
    this.#watch.unref()
  }

  /**
   * @param onLost the lock was removed, or another process has taken it: nothing may be written any more
   * @throws LogUnusableError when another process owns the directory
   */
  static async take(directory: string, onLost: () => void): Promise<DirectoryLock> {
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 })
    } catch (error) {
      throw unusable(directory, error)
    }
    const own = join(directory, `lock-${randomBytes(6).toString('hex')}`)
    const server = await listen(own)
    try {
      const inode = inodeOf(own)!
      const path = join(directory, LOCK)
      await claim(own, path, directory)
      return new DirectoryLock(server, path, inode, onLost)
    } catch (error) {
      server.close()
      throw error
    } finally {
      remove(own)
    }
  }

  release(): void {
    clearInterval(this.#watch)
    if (inodeOf(this.#path) === this.#inode) remove(this.#path)
    this.#server.close()
  }
}

/** Whether a running process owns a directory. */
export const isLocked = (directory: string): Promise<boolean> => isListenedOn(join(directory, LOCK))

/** Why a directory could not be taken now, in one line; nothing is written and the lock is not taken. */
export async function whyNotToTake(directory: string): Promise<string | undefined> {
  try {
    if (existsSync(directory) && (await isLocked(directory))) return inUse(directory).message
    // The directory may not exist yet, so its nearest existing parent is checked.
    return whyNotToWrite(directory, nearestExisting(directory))
  } catch (error) {
    return unusable(directory, error).message
  }
}

function whyNotToWrite(directory: string, nearest: string): string | undefined {
  try {
    // With the trailing slash, the check fails if the path is a file.
    accessSync(`${nearest}/`, constants.W_OK | constants.X_OK)
    return undefined
  } catch (error) {
    const cause = messageOf(error).replace(foreignTexts.node.call, '')
    return unusable(directory, new Error(`${cause}: ${nearest}`)).message
  }
}

function nearestExisting(path: string): string {
  const parent = dirname(path)
  return existsSync(path) || parent === path ? path : nearestExisting(parent)
}

async function claim(own: string, path: string, directory: string): Promise<void> {
  for (;;) {
    try {
      linkSync(own, path)
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw unusable(directory, error)
      if (await isListenedOn(path)) throw inUse(directory)
      await takeAway(path, own)
      continue
    }
    // A process that found the old lock dead may remove ours by mistake: it puts ours back, or we try again.
    await new Promise(resolve => setTimeout(resolve, SETTLE_MS))
    if (inodeOf(path) === inodeOf(own)) return
  }
}

/** Removes a dead lock. A live lock that has replaced it at that moment is put back. */
async function takeAway(path: string, own: string): Promise<void> {
  const aside = `${own}-old`
  if (!tryTo(() => renameSync(path, aside))) return
  // It fails where its owner, or a third process, is back already.
  if (await isListenedOn(aside)) tryTo(() => linkSync(aside, path))
  remove(aside)
}

const inUse = (directory: string): LogUnusableError =>
  new LogUnusableError(
    `another process uses the durable log in ${directory}; stop it, or give each process a directory of its own (wal.directory)`,
    undefined,
    'wal.directory'
  )

const unusable = (directory: string, error: unknown): LogUnusableError =>
  new LogUnusableError(
    `the durable log cannot use ${directory} (wal.directory): ${messageOf(error)}`,
    error,
    'wal.directory'
  )

function listen(path: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer(socket => socket.destroy())
    server.unref()
    server.once('error', error => reject(unusable(path, error)))
    // Binding and connecting happen in the call itself. Without `exclusive` the parent of a worker binds the socket:
    // there the short path means another file, and the parent holds the lock.
    withShortPath(path, name => server.listen({ path: name, exclusive: true }, () => resolve(server)))
  })
}

/** Whether a process listens. A stopped process whose queue of connections is full counts as listening. */
function isListenedOn(path: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = tryToConnect(path)
    if (socket === undefined) return resolve(false)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', error => resolve(!DEAD.has(codeOf(error))))
  })
}

/** @returns `undefined`: the directory is not there. @throws when it cannot be opened */
function tryToConnect(path: string): Socket | undefined {
  try {
    return withShortPath(path, name => connect({ path: name }))
  } catch (error) {
    if (DEAD.has(codeOf(error))) return undefined
    throw error
  }
}

/**
 * Socket paths are limited to 107 bytes, and longer ones are silently truncated. A longer path is replaced by one
 * through the descriptor of the directory, which only Linux offers.
 */
function withShortPath<T>(path: string, use: (path: string) => T): T {
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES) return use(path)
  const descriptor = openSync(dirname(path), 'r')
  try {
    return use(`/proc/self/fd/${descriptor}/${basename(path)}`)
  } finally {
    closeSync(descriptor)
  }
}

function inodeOf(path: string): number | undefined {
  try {
    return statSync(path).ino
  } catch {
    return undefined
  }
}

/** Removes a file that may be gone already. */
const remove = (path: string): boolean => tryTo(() => unlinkSync(path))
