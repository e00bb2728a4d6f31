/** Set by the build: the tag of a release; absent in sources, and in a tree that is not released. */
declare const DOCS_TAG: string | undefined

const PAGES = 'https://github.com/castellan-kafka/castellan/blob'

/**
 * The page of the docs of this version about a setting, or about what is named by the path of its page.
 *
 *   docs/status.md#brokergone   =>   …/blob/v0.2.0/docs/status.md#brokergone
 *   clusters.eu.brokers         =>   …/docs/configuration.md#clusters:~:text=clusters.<name>.brokers
 */
export function docsUrl(see: string): string {
  const pages = `${PAGES}/${typeof DOCS_TAG === 'undefined' ? 'main' : DOCS_TAG}`
  if (/^docs\/|^README/.test(see)) return `${pages}/${see}`
  const setting = see.replace(/^clusters\.[^.]+/, 'clusters.<name>')
  const [section, part] = setting.split('.')
  const place = section === 'advanced' ? `advanced-settings.md#advanced${part}` : `configuration.md#${section}`
  return `${pages}/docs/${place}:~:text=${encodeURIComponent(setting)}`
}
