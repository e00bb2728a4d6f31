import { z } from 'zod'
import { apis, type SettingsOfApis } from '../../apis/apis.js'
import { consumerSettings } from '../../consumer/group/settings.js'
import { queueSettings } from '../../consumer/queue/settings.js'
import { describeSchema } from '../../core/settings/leaves.js'
import { environmentName } from '../../core/settings/setting-names.js'
import { peersSettings } from '../../deployment/gateways/settings.js'
import { embeddedSettings } from '../../embedded-broker/settings.js'
import { accessSettings, authSettings, quotaSettings } from '../../http/access/settings.js'
import type { ApiSettings, HttpApi } from '../../http/api/api.js'
import { httpSettings, managementSettings } from '../../http/server/settings.js'
import { clusterSettings } from '../../kafka/settings.js'
import { idempotencySettings } from '../../producer/keys/settings.js'
import { walSettings } from '../../producer/log/settings.js'
import { deliverySettings } from '../../producer/memory/settings.js'
import { receiptSettings } from '../../producer/receipts/settings.js'
import { cacheSettings, routerSettings } from '../../router/routing/settings.js'
import { schemasSettings } from '../../schemas/settings.js'
import type { WebhookFiles } from '../../webhooks/definitions.js'
import { webhooksSettings } from '../../webhooks/settings.js'
import { setAdvancedApart } from './advanced.js'
import { logSettings, metricsSettings, serviceSettings, shutdownSettings, statsdSettings } from './process-settings.js'
import type { FlagSetting } from './read-sources.js'

/**
 * The sections of all folders of src put together. Unknown keys are errors; every field has a default or may be absent.
 */
export const schemaOf = (listed: readonly HttpApi[]) =>
  z.strictObject({
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
    apis: z
      .strictObject(Object.fromEntries(listed.map(({ name, settings }) => [name, settings])))
      .prefault({})
      .describe('The HTTP APIs'),
    router: routerSettings,
    delivery: deliverySettings,
    consumer: consumerSettings,
    queues: queueSettings,
    wal: walSettings,
    receipts: receiptSettings,
    idempotency: idempotencySettings,
    cache: cacheSettings,
    schemas: schemasSettings,
    webhooks: webhooksSettings,
    log: logSettings,
    metrics: metricsSettings,
    statsd: statsdSettings,
    peers: peersSettings,
    shutdown: shutdownSettings,
    service: serviceSettings
  })

export const configSchema = schemaOf(apis)

/** Every section and every setting, as an operator names them. */
export const describeSettings = (schema: z.ZodType = configSchema) => setAdvancedApart(describeSchema(schema))

/** Leaves of {@link configSchema}, computed once because describing it takes time. */
export const { leaves } = describeSettings()

/** Returns one warning for each secret on the command line. Other users of the machine can read command lines. */
export function warningsAboutSecrets(flags: readonly FlagSetting[]): string[] {
  const secrets = leaves.filter(({ isSecret }) => isSecret)
  const isSecret = ({ path }: FlagSetting): boolean =>
    secrets.some(
      leaf => leaf.path.length === path.length && leaf.path.every((part, at) => part === '*' || part === path[at])
    )
  return flags.filter(isSecret).map(({ path }) => {
    const variable = environmentName(path)
    return `${path.join('.')} is a secret: on the command line every user of this machine can read it in the list of processes; use ${variable}_FILE, ${variable}, or the file of --config`
  })
}

/** The whole configuration, checked and frozen. The code of each folder gets only its section. */
export type Config = Omit<z.output<typeof configSchema>, 'apis'> & {
  readonly apis: SettingsOfApis
  /** Content of the files that the settings of webhooks name. Absent: the configuration is for no gateway. */
  readonly webhookFiles?: WebhookFiles | undefined
}

export const settingsOfApis = ({ apis }: Config): [name: string, ApiSettings][] => Object.entries(apis)
