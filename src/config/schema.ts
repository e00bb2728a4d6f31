import { z } from 'zod'
import { accessSettings, authSettings, quotaSettings } from './access-settings.js'
import { clusterSettings } from './cluster-settings.js'
import { cacheSettings, deliverySettings, routerSettings } from './kafka-sections.js'
import { kprfSettings } from './kprf-settings.js'
import { embeddedSettings, httpSettings, logSettings, managementSettings, shutdownSettings } from './sections.js'

/** The whole configuration. Unknown keys are errors; every field has a default or may be absent. */
export const configSchema = z.strictObject({
  http: httpSettings,
  management: managementSettings,
  auth: authSettings,
  access: accessSettings,
  quotas: quotaSettings,
  clusters: z
    .record(
      z.string().regex(/^[a-z][a-z0-9-]*$/, { error: 'name clusters with a-z, 0-9 and -' }),
      clusterSettings.prefault({})
    )
    .prefault({})
    .transform(clusters => (clusters.default ? clusters : { default: clusterSettings.parse({}), ...clusters }))
    .describe('Kafka clusters by name. `default` is always there'),
  embedded: embeddedSettings,
  dialects: z.strictObject({ kprf: kprfSettings }).prefault({}).describe('The HTTP APIs'),
  router: routerSettings,
  delivery: deliverySettings,
  cache: cacheSettings,
  log: logSettings,
  shutdown: shutdownSettings
})
