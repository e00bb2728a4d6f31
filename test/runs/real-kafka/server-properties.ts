import type { Certificate } from './certificate.js'

/** Where one combined node (broker and controller) listens. */
export interface NodePorts {
  readonly nodeId: number
  readonly plaintext: number
  readonly saslSsl: number
  readonly controller: number
  /** Its clients come through a proxy that a test opens at the same port of 127.0.0.2. */
  readonly proxied: number
}

/** The user that the SASL_SSL listener knows, for PLAIN and SCRAM; OAUTHBEARER tokens are unsecured ones for anybody. */
export const saslUser = { username: 'alice', password: 'alice-secret' }

/** How long a session of SCRAM-SHA-512 lasts before its client has to log in again. */
export const scramSessionMs = 4_000

/** Fail-over within seconds on two cores without spurious elections, measured with both cores burning. */
const quick = {
  'broker.session.timeout.ms': 1500,
  'broker.heartbeat.interval.ms': 300,
  'controller.quorum.election.timeout.ms': 500,
  'controller.quorum.fetch.timeout.ms': 1000,
  'controller.quorum.election.backoff.max.ms': 300,
  'controller.quorum.request.timeout.ms': 1000
}

/** Safe with one node down, and small enough for three nodes on a developer's machine. */
const small = {
  'num.partitions': 4,
  'default.replication.factor': 3,
  'min.insync.replicas': 2,
  'auto.create.topics.enable': true,
  'auto.leader.rebalance.enable': false,
  'unclean.leader.election.enable': false,
  'offsets.topic.replication.factor': 3,
  'offsets.topic.num.partitions': 3,
  'transaction.state.log.replication.factor': 3,
  'transaction.state.log.min.isr': 2,
  'transaction.state.log.num.partitions': 3,
  'group.initial.rebalance.delay.ms': 0,
  'num.network.threads': 2,
  'num.io.threads': 4,
  'log.retention.check.interval.ms': 1000,
  'producer.id.expiration.check.interval.ms': 1000,
  'log.initial.task.delay.ms': 1000,
  'log.segment.delete.delay.ms': 1000,
  'log.cleaner.backoff.ms': 1000,
  'log.cleaner.dedupe.buffer.size': 4_194_304
}

const loginModule = 'org.apache.kafka.common.security'
const security = (certificate: Certificate): Record<string, string> => ({
  'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER',
  'ssl.keystore.type': 'PKCS12',
  'ssl.keystore.location': certificate.keyStorePath,
  'ssl.keystore.password': certificate.password,
  'listener.name.sasl_ssl.plain.sasl.jaas.config': `${loginModule}.plain.PlainLoginModule required user_${saslUser.username}="${saslUser.password}";`,
  'listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config': `${loginModule}.scram.ScramLoginModule required;`,
  'listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config': `${loginModule}.scram.ScramLoginModule required;`,
  'listener.name.sasl_ssl.scram-sha-512.connections.max.reauth.ms': String(scramSessionMs),
  'listener.name.sasl_ssl.oauthbearer.sasl.jaas.config': `${loginModule}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`
})

/** The text of one node's `server.properties`; `more` goes before ours. */
export function serverProperties(
  node: NodePorts,
  nodes: readonly NodePorts[],
  directory: string,
  certificate: Certificate,
  more: Readonly<Record<string, string | number>> = {}
): string {
  const clients = `PLAINTEXT://127.0.0.1:${node.plaintext},SASL_SSL://127.0.0.1:${node.saslSsl}`
  const properties = {
    'process.roles': 'broker,controller',
    'node.id': node.nodeId,
    listeners: `${clients},PROXIED://127.0.0.1:${node.proxied},CONTROLLER://127.0.0.1:${node.controller}`,
    'advertised.listeners': `${clients},PROXIED://127.0.0.2:${node.proxied}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'inter.broker.listener.name': 'PLAINTEXT',
    'controller.listener.names': 'CONTROLLER',
    'controller.quorum.voters': nodes.map(({ nodeId, controller }) => `${nodeId}@127.0.0.1:${controller}`).join(','),
    'log.dirs': directory,
    ...small,
    ...quick,
    ...security(certificate),
    ...more
  }
  return Object.entries(properties)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')
}
