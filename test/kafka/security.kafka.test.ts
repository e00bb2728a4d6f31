import { expect } from 'chai'
import { freshTopic } from '../support/target-cluster.js'
import { kcat } from './kcat.js'
import { saslUser } from './server-properties.js'
import { runningKafka } from './shared-cluster.js'

describe('SASL_SSL listener of the real cluster', () => {
  const login = ['-X', `sasl.username=${saslUser.username}`, '-X', `sasl.password=${saslUser.password}`]
  // Not SCRAM: librdkafka before 2.6.1 repeats its nonce, which brokers refuse since 3.9.
  const mechanisms = new Map([
    ['PLAIN', login],
    [
      'OAUTHBEARER',
      ['-X', 'enable.sasl.oauthbearer.unsecure.jwt=true', '-X', 'sasl.oauthbearer.config=principal=alice']
    ]
  ])
  const secured = (mechanism: string): string[] => [
    ...['-b', runningKafka().saslSslBootstrap, '-X', 'security.protocol=SASL_SSL', '-X', `sasl.mechanism=${mechanism}`],
    ...['-X', `ssl.ca.location=${runningKafka().certificate.certificatePath}`]
  ]

  for (const [mechanism, credentials] of mechanisms) {
    it(`lets kcat in with ${mechanism}`, async () => {
      const topic = freshTopic('secure')
      await runningKafka().createTopic(topic, 1)
      const listing = await kcat([...secured(mechanism), ...credentials, '-L', '-J', '-t', topic])
      expect(JSON.parse(listing.toString()).topics[0].topic).to.equal(topic)
    })
  }
})
