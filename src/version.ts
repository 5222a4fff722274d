/** Version of quorate, the same as in package.json: programs, images, chart and manifests of a release carry it. */
export const VERSION = "0.1.0";

/** The agent's image of this version, which an operator starts that was told of no other. */
export const AGENT_IMAGE = `quorate/agent:${VERSION}`;
