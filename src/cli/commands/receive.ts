import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { MIB } from '../../core/bytes.js'
import { toListenError } from '../../core/listen-error.js'
import { SECOND_MS } from '../../core/model.js'
import { printable } from '../../core/printable.js'
import { secretIn, signatureProblem } from '../../webhooks/endpoint/signature.js'
import { aborted, type CommandDescription, EXIT_OK, type Process } from '../command.js'

const HOST = '127.0.0.1'
const DEFAULT_PORT = 9_000
const NO_CONTENT = 204
const UNAUTHORIZED = 401
/** Largest body that a gateway sends (`webhooks.maxBodyBytes`). */
const MAX_BODY_BYTES = 16 * MIB
/** Limit of the characters of a body that are shown. */
const MAX_SHOWN = 1_000

/** `castellan receive`: an endpoint for webhooks that shows what it gets. */
export const receiveCommand: CommandDescription = {
  name: 'receive',
  summary: 'receives webhooks on this machine, verifies and prints them',
  options: [
    new Option('-p, --port <PORT>', `port on ${HOST} (default ${DEFAULT_PORT}; 0: any free one)`).argParser(portIn),
    new Option('--secret <SECRET>', 'verifies signatures by this secret (whsec_…); repeatable').argParser(secretsIn),
    new Option(
      '--status <STATUS>',
      `answers this status (default ${NO_CONTENT}), to try what webhooks do then`
    ).argParser(statusIn)
  ],
  notes:
    'Each request is one line on stdout. With --secret, one whose signature is wrong is answered 401 and not the status. Anyone who can list the processes of this machine can read --secret: use it for trials. It ends with SIGINT or SIGTERM.',
  examples: [
    'castellan receive --port 9000',
    'castellan receive --port 9000 --secret whsec_…',
    'castellan receive --status 500'
  ],
  run: receive
}

interface ReceiveFlags {
  readonly port?: number
  readonly secret?: readonly Buffer[]
  readonly status?: number
}

function portIn(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text)
  throw new InvalidArgumentError('a port, from 0 to 65535')
}

function secretsIn(text: string, former: readonly Buffer[] = []): readonly Buffer[] {
  const secret = secretIn(text)
  if (secret !== undefined) return [...former, secret]
  throw new InvalidArgumentError('a secret: whsec_ and 24 to 64 bytes in base64')
}

function statusIn(text: string): number {
  if (/^[2345]\d\d$/.test(text)) return Number(text)
  throw new InvalidArgumentError('a status, from 200 to 599')
}

async function receive(line: Command, { stdout, stderr, stopped }: Process): Promise<number> {
  const { port = DEFAULT_PORT, secret: secrets, status = NO_CONTENT } = line.opts<ReceiveFlags>()
  const server = createServer((request, response) => {
    answer(request, response, secrets, status).then(
      text => stdout.write(`${text}\n`),
      // The client has left before its request was whole.
      () => response.destroy()
    )
  })
  try {
    server.listen(port, HOST)
    await once(server, 'listening')
  } catch (error) {
    const [hostSetting, portSetting] = ['--port', '--port']
    throw toListenError(error as NodeJS.ErrnoException, { host: HOST, port, hostSetting, portSetting })
  }
  stderr.write(`receiving on http://${HOST}:${(server.address() as AddressInfo).port}/\n`)
  await aborted(stopped)
  server.close()
  server.closeAllConnections()
  return EXIT_OK
}

/** @returns the line about a request that has been answered */
async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  secrets: readonly Buffer[] | undefined,
  status: number
): Promise<string> {
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of request as AsyncIterable<Buffer>) {
    bytes += piece.length
    if (bytes <= MAX_BODY_BYTES) pieces.push(piece)
  }
  const body = Buffer.concat(pieces)
  const { headers, method } = request
  const problem = secrets && problemOf(secrets, headers, body)
  const answered =
    method !== 'POST' ? 405 : bytes > MAX_BODY_BYTES ? 413 : problem === undefined ? status : UNAUTHORIZED
  response.writeHead(answered).end()
  const signed = secrets === undefined ? 'not verified' : (problem ?? 'verified')
  return lineOf(answered, signed, headers, body)
}

const problemOf = (secrets: readonly Buffer[], headers: IncomingHttpHeaders, body: Buffer): string | undefined =>
  signatureProblem(
    secrets,
    {
      id: textOf(headers['webhook-id']),
      timestamp: textOf(headers['webhook-timestamp']),
      signature: textOf(headers['webhook-signature'])
    },
    body,
    Math.floor(Date.now() / SECOND_MS)
  )

const textOf = (header: string | readonly string[] | undefined): string | undefined =>
  typeof header === 'string' ? header : undefined

/** `204  verified  orders/0 offset 12  attempt 1  id …  {"a":1}` */
function lineOf(status: number, signed: string, headers: IncomingHttpHeaders, body: Buffer): string {
  const named = (name: string): string | undefined => textOf(headers[name])
  const [topic, partition, offset] = ['topic', 'partition', 'offset'].map(name => named(`x-castellan-${name}`))
  const place = topic === undefined ? undefined : `${topic}/${partition} offset ${offset}`
  const attempt = named('x-castellan-attempt') ?? '1'
  const text = body.toString('utf8')
  const shown = body.equals(Buffer.from(text)) ? text : `${body.length} bytes: ${body.toString('base64')}`
  const parts = [
    String(status),
    signed,
    place,
    attempt === '1' ? undefined : `attempt ${attempt}`,
    `id ${named('webhook-id') ?? '-'}`,
    shown.length > MAX_SHOWN ? `${shown.slice(0, MAX_SHOWN)}… (${body.length} bytes)` : shown
  ]
  return parts.flatMap(part => (part === undefined || part === '' ? [] : [printable(part)])).join('  ')
}
