/** Version of the agent and of what it says to others; members two versions apart understand each other. */
export const AGENT_VERSION = "0.1.0";
