import { randomBytes } from 'node:crypto'
import { closeSync, linkSync, openSync, renameSync, statSync, unlinkSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { basename, dirname, join } from 'node:path'
import { pause } from '../ending.js'
import { codeOf, tryTo } from '../node-errors.js'
import { makeDirectory } from './make-directory.js'

const LOCK = 'LOCK'
const MAX_SOCKET_PATH_BYTES = 107
const SETTLE_MS = 30
const CHECK_MS = 1_000
const ANSWER_MS = 1_000
/** More than any id of a process has. */
const MAX_PID_DIGITS = 20
/** Errors that prove that no process listens on a socket. */
const DEAD: ReadonlySet<string | undefined> = new Set(['ECONNREFUSED', 'ENOENT', 'ENOTDIR', 'ENOTSOCK'])

/** How an owner of directories says that it cannot have one. */
export interface LockWords {
  inUse(directory: string): Error
  /** @param error what Node said: the directory cannot be made, or no socket can be in it */
  unusable(directory: string, error: unknown): Error
}

/**
 * Makes this process the only owner of a directory. The lock is a Unix socket that the owner listens on, linked to a
 * name in the directory. The kernel closes the socket when the process ends, however it ends. Unlike a process id, a socket also
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
   * @param onLost the lock was removed, or another process has taken it: nothing may be written any more. Called until
   * the lock is released
   * @param name of the lock's file
   * @throws what `words` say
   */
  static async take(directory: string, words: LockWords, onLost: () => void, name = LOCK): Promise<DirectoryLock> {
    try {
      makeDirectory(directory)
    } catch (error) {
      throw words.unusable(directory, error)
    }
    const own = join(directory, `lock-${randomBytes(6).toString('hex')}`)
    const server = await listen(own).catch((error: unknown) => Promise.reject(words.unusable(directory, error)))
    try {
      const inode = inodeOf(own)!
      const path = join(directory, name)
      await claim(own, path, directory, words)
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

/**
 * The process that owns a directory. `undefined`: none does.
 *
 * @returns `pid`: as the owner sees it, which is another number outside of its container; `undefined`: it does not answer
 */
export async function ownerOf(directory: string): Promise<{ readonly pid: number | undefined } | undefined> {
  const path = join(directory, LOCK)
  if (!(await isListenedOn(path))) return undefined
  const text = await new Promise<string>(resolve => {
    let told = ''
    const socket = tryToConnect(path)
    if (socket === undefined) return resolve(told)
    // A stopped process has the connection, and tells nothing.
    socket.setTimeout(ANSWER_MS, () => socket.destroy())
    socket.setEncoding('latin1').on('data', part => {
      told = (told + part).slice(0, MAX_PID_DIGITS)
    })
    socket.on('error', () => undefined).once('close', () => resolve(told))
  })
  return { pid: /^\d+$/.test(text) ? Number(text) : undefined }
}

async function claim(own: string, path: string, directory: string, words: LockWords): Promise<void> {
  for (;;) {
    try {
      linkSync(own, path)
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw words.unusable(directory, error)
      if (await isListenedOn(path)) throw words.inUse(directory)
      await takeAway(path, own)
      continue
    }
    // A process that found the old lock dead may remove ours by mistake: it puts ours back, or we try again.
    await pause(SETTLE_MS)
    if (inodeOf(path) === inodeOf(own)) return
  }
}

/** Removes a dead lock. A live lock that has replaced it at that moment is put back. */
async function takeAway(path: string, own: string): Promise<void> {
  const aside = `${own}-old`
  if (!tryTo(() => renameSync(path, aside))) return
  // The link fails when the owner, or a third process, has made a new lock meanwhile.
  if (await isListenedOn(aside)) tryTo(() => linkSync(aside, path))
  remove(aside)
}

function listen(path: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    // Tells the owner's id to those who ask. Other connections are closed before they are told.
    const server = createServer(socket => {
      socket.on('error', () => undefined)
      socket.end(String(process.pid), () => socket.destroy())
    })
    server.unref()
    server.once('error', reject)
    // Binding and connecting happen in the call itself. Without `exclusive` the primary process of a cluster of Node's would bind
    // the socket: there the short path means another file.
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
