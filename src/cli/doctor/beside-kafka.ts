import { existsSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { resolve } from 'node:path'
import { toBrokerAddress } from '../../client/open-options.js'
import { ownerOf } from '../../core/files/directory-lock.js'
import { readTlsFiles } from '../../core/files/tls-files.js'
import { isoOf } from '../../core/instants.js'
import { type BrokerAddress, DAY_MS } from '../../core/model.js'
import { messageOf } from '../../core/node-errors.js'
import { certificateViewOf } from '../../http/server/certificates.js'
import { whyNotToTake } from '../../producer/log/log-lock.js'
import { existingLogs } from '../../producer/log/operator.js'
import { createTransport } from '../../schemas/transport.js'
import type { Config } from '../../server/config/config.js'
import { tlsFilesIn } from '../../server/config/tls-files.js'
import { type DoctorFinding, finding } from './findings.js'

/** As in the troubles of a gateway. */
const CERTIFICATE_BAD_MS = 3 * DAY_MS

/** Examines what the configuration names besides Kafka: certificates, other gateways, the schema registry, the durable log. */
export async function examineBesideKafka(config: Config, timeoutMs: number): Promise<readonly DoctorFinding[]> {
  const [peers, registries, logs] = await Promise.all([
    Promise.all(config.peers.addresses.map(address => examinePeer(toBrokerAddress(address), timeoutMs))),
    examineRegistry(config.schemas.registry, timeoutMs),
    examineLogs(config.wal.directory)
  ])
  return [...examineCertificates(config, Date.now()), ...peers, ...registries, ...logs]
}

/** @param now epoch milliseconds */
function examineCertificates(
  { http, management, peers, clusters, schemas }: Config,
  now: number
): readonly DoctorFinding[] {
  const ofPeers = peers.tlsDirectory === undefined ? {} : tlsFilesIn(peers.tlsDirectory)
  const sections = [
    ['http.tls', http.tls],
    ['management.tls', management.tls],
    ['peers.tlsDirectory', ofPeers],
    ['schemas.registry', schemas.registry],
    ...Object.entries(clusters).map(([name, { tls }]) => [`clusters.${name}.tls`, tls] as const)
  ] as const
  return sections.flatMap(([section, { certFile }]) => {
    if (certFile === undefined) return []
    const about = `certificate ${section}`
    try {
      const { validTo } = certificateViewOf(section, readFileSync(certFile, 'utf8'))
      const ends = `ends ${isoOf(validTo)}`
      return [finding(about, validTo - now > CERTIFICATE_BAD_MS ? 'works' : 'needs', ends)]
    } catch (error) {
      return [finding(about, 'needs', messageOf(error))]
    }
  })
}

/** Whether the other gateway's port for gateways can be connected to. */
function examinePeer({ host, port }: BrokerAddress, timeoutMs: number): Promise<DoctorFinding> {
  const about = `gateway ${host}:${port}`
  return new Promise(answer => {
    const socket = connect({ host, port, timeout: timeoutMs })
    const end = (outcome: DoctorFinding['outcome'], detail: string): void => {
      socket.destroy()
      answer(finding(about, outcome, detail))
    }
    socket.once('connect', () => end('works', ''))
    socket.once('timeout', () => end('cannot tell', `no connection within ${timeoutMs} ms`))
    socket.on('error', error => end('cannot tell', messageOf(error)))
  })
}

/** Examines the schema registry. Any answer is good, except one which says that the credentials are wrong. */
async function examineRegistry(
  registry: Config['schemas']['registry'],
  timeoutMs: number
): Promise<readonly DoctorFinding[]> {
  if (registry.urls.length === 0) return []
  let transport: ReturnType<typeof createTransport>
  try {
    transport = createTransport(registry, readTlsFiles('schemas.registry', registry))
  } catch (error) {
    // No gateway would start with these files.
    return [finding('registry', 'needs', messageOf(error))]
  }
  const ask = async (base: string): Promise<DoctorFinding> => {
    const about = `registry ${base.replace(/\/\/[^/]*@/, '//')}`
    try {
      const url = `${base.replace(/\/+$/, '')}/schemas/types`
      const { status } = await transport.send({ method: 'GET', url, signal: AbortSignal.timeout(timeoutMs) })
      return finding(about, status < 400 || status === 404 ? 'works' : 'cannot tell', `status ${status}`)
    } catch (error) {
      return finding(about, 'cannot tell', messageOf(error))
    }
  }
  return await Promise.all(registry.urls.map(ask)).finally(() => transport.close())
}

/** The durable logs that a running process uses; where none does, whether a process of this user could use the directory here. */
async function examineLogs(directory: string): Promise<readonly DoctorFinding[]> {
  const about = 'durable log'
  const root = resolve(directory)
  const logs = existsSync(root) ? logsIn(root) : []
  const owners = await Promise.all(logs.map(async path => ({ path, owner: await ownerOf(path) })))
  const used = owners.flatMap(({ path, owner }) => {
    if (owner === undefined) return []
    const who = owner.pid === undefined ? 'a process that does not tell its id' : `process ${owner.pid}`
    return [finding(about, 'works', `${path} is used by ${who}`)]
  })
  const why = used.length > 0 ? undefined : await whyNotToTake(root)
  // Gateways may run as another user, and have volumes that are not mounted here.
  return why === undefined ? used : [finding(about, 'cannot tell', why)]
}

function logsIn(directory: string): readonly string[] {
  try {
    return existingLogs(directory).map(log => log.directory.path)
  } catch {
    return [directory]
  }
}
