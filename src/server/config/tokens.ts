import { execFile } from 'node:child_process'
import { open } from 'node:fs/promises'
import { basename } from 'node:path'
import { UnavailableError } from '../../core/errors.js'
import { messageOf } from '../../core/node-errors.js'
import { printable } from '../../core/printable.js'
import { type GrantedToken, isBearerToken } from '../../kafka/sasl.js'

/** Larger than any token. A wrong file or command may give anything. */
const MAX_BYTES = 64 * 1024
/** Lifetime of a token that does not tell its end. */
const DEFAULT_LIFETIME_MS = 300_000
/** Commands of clouds start interpreters and ask servers, which takes seconds. Logins meanwhile fail and are repeated. */
const COMMAND_TIMEOUT_MS = 30_000

const noToken = (where: string, reason: string): UnavailableError =>
  new UnavailableError('issuerUnreachable', `no token from ${where}: ${reason}`, undefined, `no token: ${reason}`)

/**
 * Reads a token from a file that another program renews, such as a projected token of Kubernetes.
 *
 * @throws UnavailableError with the reason, without anything that the file contains
 */
export async function tokenInFile(path: string): Promise<string> {
  const where = basename(path)
  const bytes = Buffer.alloc(MAX_BYTES)
  const file = await open(path).catch((error: NodeJS.ErrnoException) => {
    throw noToken(where, `the file cannot be read (${error.code})`)
  })
  try {
    const { bytesRead } = await file.read(bytes, 0, MAX_BYTES)
    return tokenOf(where, bytes.toString('latin1', 0, bytesRead))
  } catch (error) {
    throw error instanceof UnavailableError ? error : noToken(where, messageOf(error))
  } finally {
    await file.close()
  }
}

/**
 * Runs a command, without a shell, that writes a token to stdout.
 *
 * @throws UnavailableError with the reason and the first line of stderr, without anything of stdout
 */
export function tokenOfCommand([program = '', ...args]: readonly string[]): Promise<GrantedToken> {
  const where = basename(program)
  const limits = { timeout: COMMAND_TIMEOUT_MS, maxBuffer: MAX_BYTES, killSignal: 'SIGKILL' } as const
  return new Promise((resolve, reject) => {
    const child = execFile(program, args, limits, (error, stdout, stderr) => {
      if (error === null) {
        try {
          const token = tokenOf(where, stdout)
          resolve({ token, lifetimeMs: lifetimeOf(where, token) })
        } catch (problem) {
          reject(problem)
        }
        return
      }
      const said = printable(stderr.trim().split('\n')[0]!.slice(0, 200))
      const { killed, code } = error
      reject(
        noToken(
          where,
          `${killed ? `nothing within ${COMMAND_TIMEOUT_MS} ms` : `it ended with ${code}`}${said && `: ${said}`}`
        )
      )
    })
    child.stdin?.destroy()
  })
}

function tokenOf(where: string, text: string): string {
  const token = text.trim()
  if (isBearerToken(token)) return token
  throw noToken(where, token === '' ? 'it is empty' : 'it is no token')
}

/** Until the token ends, where it is a JSON Web Token. Only the issuer can tell whether it is valid. */
function lifetimeOf(where: string, token: string): number {
  let endsAt: unknown
  try {
    endsAt = JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()).exp
  } catch {
    // It is another kind of token.
  }
  if (typeof endsAt !== 'number') return DEFAULT_LIFETIME_MS
  const lifetimeMs = endsAt * 1_000 - Date.now()
  if (lifetimeMs > 0) return lifetimeMs
  throw noToken(where, 'its token has expired')
}

/** The part that is used of the package which signs tokens for Amazon MSK. */
export interface MskSigner {
  generateAuthToken(options: {
    readonly region: string
  }): Promise<{ readonly token: string; readonly expiryTime: number }>
}

const MSK_PACKAGE = 'aws-msk-iam-sasl-signer-js'
const loadMskSigner = (): Promise<MskSigner> => import(MSK_PACKAGE)

/**
 * Signs a token for Amazon MSK with the credentials that AWS's own programs use here.
 *
 * @throws UnavailableError also when the package is not installed
 */
export async function mskToken(region: string, load: () => Promise<MskSigner> = loadMskSigner): Promise<GrantedToken> {
  const signer = await load().catch((error: unknown) => {
    throw noToken(
      MSK_PACKAGE,
      `the package cannot be loaded; npm install ${MSK_PACKAGE} (${messageOf(error).split('\n')[0]})`
    )
  })
  try {
    const { token, expiryTime } = await signer.generateAuthToken({ region })
    return { token, lifetimeMs: expiryTime - Date.now() }
  } catch (error) {
    throw noToken(MSK_PACKAGE, printable(messageOf(error)))
  }
}
