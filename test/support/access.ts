import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose'
import { stringify } from 'yaml'
import { apis } from '../../src/apis/apis.js'
import { CastellanError } from '../../src/core/errors.js'
import { createPrometheusMetrics } from '../../src/core/metrics/prometheus.js'
import { type Operation, openAccess, refusalHeaders, refusalStatus } from '../../src/http/access/access.js'
import { hashPassword, makeToken } from '../../src/http/access/stored-credentials.js'
import type { ApiMount, Http } from '../../src/http/server/http.js'
import { type ListenerSecurity, openListenerSecurity } from '../../src/server/app/listener-security.js'
import { enabledApis, mountApis } from '../../src/server/app/mount-apis.js'
import { type Config, loadConfig } from '../../src/server/config/config.js'
import { type LogLine, recordingLogger } from '../http/server/stage.js'
import { contextFor } from './api-context.js'
import { TestAuthority, type TestCertificate } from './certificates.js'
import { type AnswerSeen, checkAnswer } from './described-answers.js'
import { FakeVerbs } from './fake-verbs.js'
import { startServer } from './http-server.js'

export const ISSUER = 'https://login.example.com/'
export const AUDIENCE = 'castellan'

/** An issuer of JSON Web Tokens. */
export interface TestIssuer {
  readonly jwks: object
  /** A token that is good for an hour, unless the claims say else. */
  sign(claims: JWTPayload): Promise<string>
}

export async function makeIssuer(kid = 'k1', issuer = ISSUER): Promise<TestIssuer> {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const jwk = { ...(await exportJWK(publicKey)), kid, alg: 'ES256', use: 'sig' }
  return {
    jwks: { keys: [jwk] },
    sign: claims =>
      new SignJWT({ iss: issuer, aud: AUDIENCE, exp: inSeconds(3_600), ...claims })
        .setProtectedHeader({ alg: 'ES256', kid })
        .sign(privateKey)
  }
}

export const inSeconds = (seconds: number): number => Math.floor(Date.now() / 1_000) + seconds

/** Hashes at the least cost that is accepted: no test is about how long they take. */
export async function cheapHash(password: string): Promise<string> {
  const { scryptSync } = await import('node:crypto')
  const salt = Buffer.alloc(16, 7)
  const unpadded = (bytes: Buffer): string => bytes.toString('base64').replace(/=+$/, '')
  const hash = scryptSync(password.normalize('NFC'), salt, 32, { N: 1_024, r: 1, p: 1 })
  return `$scrypt$ln=10,r=1,p=1$${unpadded(salt)}$${unpadded(hash)}`
}

export { hashPassword, makeToken }

/** A folder that lives as long as a test. */
export class TestFolder {
  readonly path = mkdtempSync(join(tmpdir(), 'castellan-doors-'))

  write(name: string, text: string): string {
    const file = join(this.path, name)
    writeFileSync(file, text)
    return file
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}

/** The event loop of a test is late on a busy machine, and refuses nothing for that. */
const lateIsFine = { advanced: { http: { maxEventLoopDelayMs: 0 } } }

/** Settings as they stand in a file, read as such. */
export function configOf(folder: TestFolder, settings: object): Config {
  const usual = { ...lateIsFine, wal: { directory: join(folder.path, 'wal') } }
  return loadConfig({ file: folder.write('castellan.yaml', stringify({ ...usual, ...settings })) })
}

export interface Guarded {
  readonly http: Http
  readonly security: ListenerSecurity
  readonly verbs: FakeVerbs
  readonly lines: LogLine[]
  metricsText(): Promise<string>
  stop(): Promise<void>
}

/** All listeners on free ports, behind doors made of the settings: kprf over a fake gateway, and {@link probeApi}. */
export async function startGuarded(config: Config, verbs = new FakeVerbs()): Promise<Guarded> {
  const metrics = createPrometheusMetrics()
  const lines: LogLine[] = []
  const log = recordingLogger(lines)
  const security = await openListenerSecurity(config, metrics, log)
  const access = security.requestAccess ?? openAccess
  const steps = { add: () => {} }
  const forMcp = { issuers: config.auth.issuers.map(({ issuer }) => issuer) }
  const shared = contextFor(verbs, {}, { access, log, metrics, forMcp })
  const http = await startServer({
    http: { ...config.http, port: 0 },
    management: { ...config.management, port: 0 },
    apis: [
      ...mountApis(enabledApis(apis, config), config, shared, { shutdown: steps, drainSteps: steps, cutSteps: steps }),
      probeApi(access)
    ],
    metrics,
    requestAccess: security.requestAccess,
    certificates: security.certificates,
    managementCertificates: security.managementCertificates,
    log
  })
  const stop = async (): Promise<void> => {
    await http.close()
    security.close()
  }
  return { http, security, verbs, lines, metricsText: () => metrics.registry.metrics(), stop }
}

/** Stands for the APIs that are to come: `/probe/OPERATION/TOPIC/GROUP` answers 200 where the rules allow it. */
function probeApi(access: typeof openAccess): ApiMount {
  const plugin = async (app: FastifyInstance): Promise<void> => {
    app.addContentTypeParser('*', { parseAs: 'buffer' }, (_, body, done) => done(null, body))
    app.setErrorHandler((error, _, reply) => {
      const code = error instanceof CastellanError ? error.code : 'bug'
      reply
        .code(refusalStatus(error) ?? 500)
        .headers(refusalHeaders(error))
        .send({ PROBE: code })
    })
    app.addHook('onRequest', (request, _, done) => {
      const { operation, topic, group } = request.params as { operation: Operation; topic: string; group?: string }
      done(access.callerOf(request.raw).refusalOf(operation, { topic, group }))
    })
    for (const path of ['/:operation/:topic', '/:operation/:topic/:group']) {
      app.all(path, request => ({ PROBE: access.callerOf(request.raw).principal }))
    }
  }
  return { name: 'probe', prefix: '/probe', plugin, listeners: [] }
}

export interface Call {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly ca?: string
  readonly certificate?: TestCertificate | undefined
  readonly socketPath?: string
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** An answer to a request, for the check of it. */
export const seenBy = (method: string, path: string, { status, headers, body }: Answer): AnswerSeen => ({
  method,
  path,
  status,
  type: headers['content-type'],
  persisted: headers['x-castellan-persisted'] as string | undefined,
  body
})

/** One request over a connection of its own. Its answer is compared with the description where `checkAnswersOf` says so. */
export function call(url: string, { body, certificate, ...options }: Call = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const send = url.startsWith('https:') ? httpsRequest : httpRequest
    const sent = send(url, { agent: false, ...options, ...certificate, method: options.method ?? 'GET' }, response => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const { statusCode = 0, headers } = response
        const answer = { status: statusCode, headers, body: Buffer.concat(chunks).toString() }
        try {
          checkAnswer(seenBy(options.method ?? 'GET', url, answer))
          resolve(answer)
        } catch (error) {
          reject(error)
        }
      })
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

/** kprf's push of one record to a topic. */
export function push(url: string, topic: string, options: Call = {}): Promise<Answer> {
  const headers = { 'content-type': 'application/json', ...options.headers }
  const body = JSON.stringify({ records: [{ topic, data: 'hello' }], wait_for_send: true })
  return call(`${url}/kprf/push`, { method: 'POST', body, ...options, headers })
}

export const basic = (username: string, password: string): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`

export { TestAuthority }
